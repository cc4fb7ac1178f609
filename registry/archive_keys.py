"""Which keys an import waits for, and the commands that trust each for what it signed, and for nothing more.

``alias-move`` is never among the kinds: whose moves count is a question of this house's log, and what was
live over there says nothing here. Names in an archive are its exporter's: one that is taken here is made
another, so that nobody over there signs as somebody here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from registry.archive_layout import content_of
from registry.counting import is_satisfied
from registry.digest import Digest
from registry.errors import Refused
from registry.evidence import Evidence
from registry.plain_text import one_line
from registry.predicates import ALIAS_MOVE, KINDS
from registry.trust import Trust
from registry.version import check_name


def refuse_uncounted(
    folder: Path, trust: Trust, versions: Sequence[Sequence[Evidence]], names: Mapping[str, str]
) -> None:
    """Refused while something does not count for which nothing else of its kind stands in.

    ``versions`` is all evidence about each version, ``names`` what the exporter calls the key of each id.
    """
    missed = [evidence for about in versions for evidence in _uncounted(about)]
    if not missed:
        return
    what = f"Nothing is imported from {folder}"
    if strange := sorted({e.kind for e in missed} - KINDS):
        why = f"it holds evidence that this Headgate does not know: {', '.join(strange)}"
        raise Refused(what, why=why, next_step="import it with the Headgate that exported it, or a newer one")
    everything = [evidence for about in versions for evidence in about]
    commands = [*_commands(folder, trust, _wanted(trust, missed, everything), names)]
    raise Refused(
        what,
        why=f"it is whole, but {'; '.join(_reasons(trust, missed, names))}",
        next_step=f"compare the keys with their owners', then {', '.join(commands)}, and import again",
    )


def _uncounted(about: Sequence[Evidence]) -> list[Evidence]:
    """What a key signed that does not count here, unless it says yes and another of its kind does count.

    A no has to be heard: no yes stands in for it. History of another house's aliases need not count.
    """
    counted = {(e.kind, e.subject) for e in about if not e.doubt}
    signed = [e for e in about if e.doubt and e.key_id and e.kind != ALIAS_MOVE]
    return [e for e in signed if (e.kind, e.subject) not in counted or not is_satisfied(e)]


def _reasons(trust: Trust, missed: Sequence[Evidence], names: Mapping[str, str]) -> Iterator[str]:
    strangers = sorted({e.key_id for e in missed if trust.find(e.key_id) is None})
    if strangers:
        called = {key: one_line(names.get(key, "without a name"), 60) for key in strangers}
        told = ", ".join(f"{key[:12]} ({name})" for key, name in called.items())
        yield f"signed by keys not trusted here: {told}"
    yield from dict.fromkeys(e.doubt for e in missed if e.key_id not in strangers)


def _wanted(trust: Trust, missed: Sequence[Evidence], everything: Sequence[Evidence]) -> dict[str, set[str]]:
    """The kinds to trust each key for: all that a new one signed; what is missed, besides what it may."""
    kinds: dict[str, set[str]] = {}
    for evidence in missed:
        known = trust.find(evidence.key_id)
        may = known.kinds or () if known else {e.kind for e in everything if e.key_id == evidence.key_id}
        kinds.setdefault(evidence.key_id, set()).update({*may, evidence.kind} & KINDS - {ALIAS_MOVE})
    return kinds


def _commands(
    folder: Path, trust: Trust, wanted: Mapping[str, set[str]], names: Mapping[str, str]
) -> Iterator[str]:
    chosen: dict[str, str] = {}
    for key in sorted(wanted, key=lambda key: (names.get(key, ""), key)):
        if key not in names:
            yield f"ask for the public key {key[:12]}, which is not in the archive"
            continue
        known, name = trust.find(key), names[key]
        if known:
            yield f"`headgate keys distrust {key[:12]}`"
        more = len(trust.of(known.name)) > 1 if known else name in chosen
        name = known.name if known else chosen.setdefault(name, _free(name, key, trust))
        kinds = "".join(f" --for {kind}" for kind in sorted(wanted[key]))
        path = shlex.quote(str(content_of(folder, Digest(key))))
        yield f"`headgate keys trust {path} --name {name}{' --another' if more else ''}{kinds}`"


def _free(name: str, key: str, trust: Trust) -> str:
    """A name for a stranger's key that nobody has here."""
    try:
        return f"{name[:100]}-{key[:8]}" if trust.of(check_name(name)) else name
    except ValueError:
        return f"key-{key[:8]}"
