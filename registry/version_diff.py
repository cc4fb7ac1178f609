"""What differs between two versions, from where they came from to what the gates measured. Pure.

Weights by file, configuration by key, the chat template by line, packages by version; the gates' numbers
side by side, also where they are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import unified_diff
from typing import Any

from judging.verdict import Finding
from registry.counting import newest_of
from registry.evidence import Evidence
from registry.manifest import ManifestEntry
from registry.predicates import FIDELITY, LOAD, PREFLIGHT, QUALITY, SANITY, SBOM, SCAN
from registry.version_contents import Contents

_GATES = (SANITY, FIDELITY, QUALITY, LOAD, PREFLIGHT, SCAN)
_TEMPLATE = "chat_template"


@dataclass(frozen=True)
class Change:
    """One thing that differs: its value in both versions, as JSON has it; None where it is not there."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Section:
    """The changes of one kind. ``note`` says what could not be compared."""

    title: str
    changes: tuple[Change, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """One finding of a gate in both versions; None where that gate did not find it."""

    gate: str
    name: str
    before: Finding | None
    after: Finding | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Everything that differs; ``template`` is a unified diff, line by line."""

    before: str
    after: str
    sections: tuple[Section, ...]
    template: tuple[str, ...]
    gates: tuple[Measured, ...]

    @property
    def changed(self) -> list[str]:
        """The titles of what differs; numbers of gates are not among them."""
        template = ["chat template"] if self.template else []
        return [section.title for section in self.sections if section.changes] + template

    def to_json(self) -> dict[str, Any]:
        """What programs are shown of it, as plain values."""
        return {
            "before": self.before,
            "after": self.after,
            "changed": self.changed,
            "sections": {
                s.title: {"changes": [asdict(change) for change in s.changes], "note": s.note}
                for s in self.sections
            },
            "chat_template": list(self.template),
            "gates": [asdict(measured) for measured in self.gates],
        }


def compare(before: Contents, after: Contents) -> Difference:
    """What differs from the first version to the second."""
    return Difference(
        before=before.version.reference,
        after=after.version.reference,
        sections=tuple(section(before, after) for section in _SECTIONS),
        template=tuple(_template_diff(before, after)),
        gates=tuple(measured for gate in _GATES for measured in _measured(gate, before, after)),
    )


def _source(before: Contents, after: Contents) -> Section:
    return _section("source", before, after, _source_values)


def _recipe(before: Contents, after: Contents) -> Section:
    return _section("recipe", before, after, lambda c: _flat(c.version.recipe))


def _engine(before: Contents, after: Contents) -> Section:
    return _section("engine packages", before, after, lambda c: c.version.engine)


def _serve(before: Contents, after: Contents) -> Section:
    return _section("serve configuration", before, after, _serve_values)


def _weights(before: Contents, after: Contents) -> Section:
    title = "weights"
    if before.files is None or after.files is None:
        absent = before if before.files is None else after
        same = before.version.weights_set == after.version.weights_set
        digests = str(before.version.weights_set), str(after.version.weights_set)
        whole = [] if same else [Change("all files", *digests)]
        return Section(
            title, (*whole,), f"the list of files of {absent.version.reference} is not in the store"
        )
    changes = _changes(
        {path: _file(entry) for path, entry in before.files.files.items()},
        {path: _file(entry) for path, entry in after.files.files.items()},
    )
    total = Change("all files, bytes", before.files.size, after.files.size)
    return Section(title, (*changes, *([total] if total.before != total.after else [])))


def _model(before: Contents, after: Contents) -> Section:
    gone = [f"{path} of {side.version.reference}" for side in (before, after) for path in side.gone]
    unread = [f"{path} of {side.version.reference}" for side in (before, after) for path in _broken(side)]
    notes = [f"not on this machine: {', '.join(gone)}"] if gone else []
    notes += [f"no JSON: {', '.join(unread)}"] if unread else []
    left_out = {*before.gone, *after.gone}  # one side of a file would look like a removal
    values = (
        {k: v for k, v in _model_values(side).items() if k.partition(": ")[0] not in left_out}
        for side in (before, after)
    )
    return Section("model configuration", _changes(*values), "; ".join(notes))


def _runtime(before: Contents, after: Contents) -> Section:
    title, digests = "runtime packages", (before.version.runtime, after.version.runtime)
    if digests[0] == digests[1]:
        return Section(title)
    found = [_packages(side.evidence) for side in (before, after)]
    if None in found:
        absent = (before if found[0] is None else after).version.reference
        return Section(
            title, (Change("runtime", *map(str, digests)),), f"{absent} has no bill of materials to compare"
        )
    changes = _changes(found[0] or {}, found[1] or {})
    # Same versions, other files: a package was built or patched differently.
    return Section(title, changes or (Change("installed files", *map(str, digests)),))


_SECTIONS: tuple[Callable[[Contents, Contents], Section], ...] = (
    *(_source, _recipe, _engine, _weights, _model, _serve, _runtime),
)


def _section(
    title: str, before: Contents, after: Contents, values: Callable[[Contents], Mapping[str, Any]]
) -> Section:
    return Section(title, _changes(values(before), values(after)))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    names = dict.fromkeys((*before, *after))
    found = (Change(name, before.get(name), after.get(name)) for name in sorted(names))
    return tuple(change for change in found if change.before != change.after)


def _source_values(contents: Contents) -> dict[str, Any]:
    version = contents.version
    return {
        "address": version.source_uri,
        "commit": version.source_commit,
        "list of files": str(version.source_manifest),
    }


def _serve_values(contents: Contents) -> dict[str, Any]:
    values = _flat({k: v for k, v in contents.version.serve.to_json().items() if k != _TEMPLATE})
    return {**values, "gpu_class": contents.version.gpu_class}


def _file(entry: ManifestEntry) -> dict[str, Any]:
    return {"digest": str(entry.digest), "size": entry.size}


def _model_values(contents: Contents) -> dict[str, Any]:
    return {
        f"{path}: {key}": value
        for path, text in contents.texts.items()
        for key, value in _flat(_json(text) or {}).items()
        if key != _TEMPLATE
    }


def _broken(contents: Contents) -> list[str]:
    return [path for path, text in contents.texts.items() if path.endswith(".json") and _json(text) is None]


def _json(text: str) -> dict[str, Any] | None:
    try:
        # A number that JSON has no word for would differ from itself.
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    # Levels below the fourth are compared whole: what is nested deeper was not meant to be read by people.
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and item and name.count(".") < 3:
            found |= _flat(item, f"{name}.")
        else:
            found[name] = item
    return found


def _template_diff(before: Contents, after: Contents) -> Iterator[str]:
    old, new = _template(before), _template(after)
    if old is None and new is None:
        return
    names = before.version.reference, after.version.reference
    yield from unified_diff((old or "").splitlines(), (new or "").splitlines(), *names, lineterm="")


def _template(contents: Contents) -> str | None:
    """The template that is used: the release's own, else the model's file, else its tokenizer's entry."""
    own = contents.version.serve.chat_template
    if own is not None:
        return own
    if (text := contents.texts.get("chat_template.jinja")) is not None:
        return text
    for path in ("chat_template.json", "tokenizer_config.json"):
        template = (_json(contents.texts.get(path, "")) or {}).get(_TEMPLATE)
        if template is not None:
            return template if isinstance(template, str) else json.dumps(template, indent=1, sort_keys=True)
    return None


def _packages(evidence: Iterable[Evidence]) -> dict[str, str] | None:
    bill = next((e for e in evidence if e.kind == SBOM), None)
    components = bill.facts.get("components") if bill else None
    if not isinstance(components, list):
        return None
    return {
        str(c["name"]): str(c.get("version", ""))
        for c in components
        if isinstance(c, Mapping) and "name" in c
    }


def _measured(gate: str, before: Contents, after: Contents) -> Iterator[Measured]:
    old, new = _findings(gate, before.evidence), _findings(gate, after.evidence)
    for name in dict.fromkeys((*old, *new)):
        yield Measured(gate, name, old.get(name), new.get(name))


def _findings(gate: str, evidence: Sequence[Evidence]) -> dict[str, Finding]:
    newest = newest_of([e for e in evidence if e.signer], gate) or newest_of(evidence, gate)
    return {f.name: f for f in newest.verdict.findings} if newest and newest.verdict else {}
