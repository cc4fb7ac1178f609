"""Draws a version's lineage: records, evidence and alias moves come in, the graph goes out. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from registry.alias import Aliases
from registry.alias_move import Move
from registry.counting import Case, by_suite, suite_of
from registry.digest import Digest
from registry.evidence import Evidence
from registry.fetched import fetches_of
from registry.lineage import Lineage, Node, Step
from registry.manifest import Manifest
from registry.plain_text import counted
from registry.predicates import (
    ALIAS_MOVE,
    APPROVAL,
    FETCH,
    FIDELITY,
    IMAGE_SIGNATURE,
    LOAD,
    PREFLIGHT,
    QUALITY,
    QUANTIZE,
    RELEASE,
    ROLLOUT,
    SANITY,
    SBOM,
    SCAN,
    WEIGHTS_SIGNATURE,
)
from registry.version import ModelVersion

_MOST_ROLLOUTS = 4  # nodes; older ones are in the evidence
_USUAL = (SANITY, FIDELITY, QUALITY, LOAD, PREFLIGHT, SCAN, APPROVAL)
_PLACED = {FETCH, QUANTIZE, WEIGHTS_SIGNATURE, SBOM, IMAGE_SIGNATURE, RELEASE, ROLLOUT}
_TRIPLE = ("weights", "runtime", "serve")
_SPEAKS_OF = {SCAN: ("runtime",), "image": ("weights",)}
"""What is judged or built of less than the whole triple."""


def trace(
    case: Case,
    files: Manifest | None,
    moves: Iterable[Move],
    aliases: Aliases,
    missing: Mapping[str, Sequence[str]],
    exempt: str = "",
) -> Lineage:
    """The lineage of a version, from all evidence about it, its files if known, and its model's alias moves.

    ``missing`` says, by alias, what the policy still asks for, ``exempt`` why it asks for so little.
    """
    version = case.version
    rest = [evidence for evidence in case.found if evidence.kind != ALIAS_MOVE]
    found = replace(case, found=tuple(_weighed(case, evidence) for evidence in rest))
    own = tuple(move for move in moves if _concerns(move, version))
    named = tuple(aliases.names(version.number))
    nodes = (
        *_origin(found),
        *_released(found, files),
        *_judged(found),
        _record(found),
        *_rollouts(found),
        *(_alias(name, version, own) for name in named),
    )
    return Lineage(
        version=version,
        nodes=nodes,
        edges=tuple(_edges(nodes)),
        evidence=found.found,
        moves=own,
        elsewhere=tuple(sorted(_elsewhere(case, own), key=lambda move: (move.at, move.number))),
        aliases=named,
        missing=missing,
        exempt=exempt,
    )


def _origin(found: Case) -> Iterator[Node]:
    version = found.version
    source = {"files": version.source_set} if version.source_set else {}
    yield Node(
        id="source",
        step=Step.SOURCE,
        title="source",
        summary=version.source_uri,
        digests={**source, "manifest": version.source_manifest},
        details={"address": version.source_uri, "commit": version.source_commit},
        evidence=tuple(fetches_of(found)),
        missing_tells=True,
    )
    yield Node(
        id="recipe",
        step=Step.RECIPE,
        title="recipe",
        summary=_recipe_summary(version.recipe),
        digests={"recipe": Digest.of_json(dict(version.recipe))},
        details={**_texts(version.recipe), **{f"package {k}": v for k, v in sorted(version.engine.items())}},
        evidence=tuple(found.of(QUANTIZE)),
        missing_tells=version.recipe.get("engine") != "none",
    )


def _released(found: Case, files: Manifest | None) -> Iterator[Node]:
    version = found.version
    yield Node(
        id="weights",
        step=Step.RELEASE,
        title="weights",
        summary=_files_summary(files),
        digests={"files": version.weights_set, "manifest": version.weights_manifest},
        evidence=tuple(found.of(WEIGHTS_SIGNATURE)),
        missing_tells=True,
    )
    yield Node(
        id="runtime",
        step=Step.RELEASE,
        title="runtime",
        summary=_packages_summary(found.of(SBOM)),
        digests={"runtime": version.runtime},
        evidence=tuple(found.of(SBOM)),
        missing_tells=True,
    )
    yield Node(
        id="serve",
        step=Step.RELEASE,
        title="serve configuration",
        summary=f"{version.serve.dtype}, {version.serve.max_model_len} tokens, {version.gpu_class}",
        digests={"settings": version.serve.digest, "release": version.release_digest},
        details={"GPU class": version.gpu_class, **_texts(version.serve.to_json())},
    )


def _judged(found: Case) -> Iterator[Node]:
    others = sorted({e.kind for e in found.found} - _PLACED - {*_USUAL})
    for kind in (*_USUAL, *others):
        own_first = sorted(found.of(kind), key=found.is_of_another_spec)
        records = by_suite(own_first) or ([[]] if kind in {QUALITY, SCAN} else [])
        for number, evidence in enumerate(records, start=1):
            yield _gate(found, kind, number, evidence)
    yield Node(
        id="image",
        step=Step.JUDGED,
        title="image",
        digests={"manifest": found.version.image},
        evidence=tuple(found.of(IMAGE_SIGNATURE)),
        missing_tells=True,
    )


def _gate(found: Case, kind: str, number: int, evidence: Sequence[Evidence]) -> Node:
    """What is known of a kind: a node for each suite, and one of all records of another kind."""
    newest = evidence[0] if evidence else None
    suite = suite_of(newest) if newest else None
    elsewhere = "of another spec" if newest and found.is_of_another_spec(newest) else ""
    return Node(
        id=f"judged-{kind}" if number == 1 else f"judged-{kind}-{number}",
        step=Step.JUDGED,
        title=f"{kind} {suite}" if suite else kind,
        summary=": ".join(filter(None, (elsewhere, _evidence_summary(evidence)))),
        digests={"record": newest.digest} if newest and newest.digest else {},
        evidence=tuple(evidence),
        missing_tells=True,
    )


def _record(found: Case) -> Node:
    version = found.version
    return Node(
        id="version",
        step=Step.VERSION,
        title=version.reference,
        summary=f"after {version.parent}" if version.parent else "nothing was live before",
        digests={"record": version.record_digest},
        details={"parent": version.parent or "none"},
        evidence=tuple(found.of(RELEASE)),
        missing_tells=True,
    )


def _rollouts(found: Case) -> Iterator[Node]:
    for number, evidence in enumerate(found.of(ROLLOUT)[:_MOST_ROLLOUTS]):
        yield Node(
            id=f"rollout-{number + 1}",
            step=Step.OUTCOME,
            title="rollout",
            summary=": ".join(
                _text(evidence.facts[k]) for k in ("phase", "reason") if evidence.facts.get(k)
            ).replace("_", " ", 1),
            digests={"record": evidence.digest} if evidence.digest else {},
            details=_texts({k: v for k, v in evidence.facts.items() if k != "at"}),
            evidence=(evidence,),
        )


def _alias(name: str, version: ModelVersion, moves: Sequence[Move]) -> Node:
    arrivals = [m for m in moves if m.after.to_json()[name] == version.number != m.before.to_json()[name]]
    last = arrivals[-1] if arrivals else None
    return Node(
        id=f"alias-{name}",
        step=Step.OUTCOME,
        title=name,
        summary=f"by {last.who}: {last.why}" if last else "before moves were recorded",
        digests={"entry": last.digest} if last and last.digest else {},
        move=last,
    )


def _edges(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    yield "source", "recipe"
    yield "recipe", "weights"
    for node in nodes:
        if node.step is Step.JUDGED:
            yield from ((part, node.id) for part in _SPEAKS_OF.get(node.title, _TRIPLE))
            yield node.id, "version"
        elif node.step is Step.OUTCOME:
            yield "version", node.id


def _weighed(case: Case, evidence: Evidence) -> Evidence:
    """As it counts: what does not has no signer, whoever signed it, and says why."""
    doubt = case.doubt(evidence)
    return replace(evidence, signer=None, doubt=doubt) if doubt else evidence


def _concerns(move: Move, version: ModelVersion) -> bool:
    if (move.name, move.gpu_class) != (version.name, version.gpu_class):
        return False
    return move.before.names(version.number) != move.after.names(version.number)


def _elsewhere(case: Case, own: Iterable[Move]) -> Iterator[Move]:
    """The moves that came with an archive; this house's own log has its moves itself."""
    known = {move.digest for move in own}
    for evidence in case.of(ALIAS_MOVE):
        with contextlib.suppress(KeyError, TypeError, ValueError):  # of a newer Headgate, perhaps
            if evidence.digest not in known:
                yield Move.from_evidence(evidence)


def _recipe_summary(recipe: Mapping[str, Any]) -> str:
    if recipe.get("engine") == "none":
        return "as they are: not quantized"
    bits = f"{recipe['bits']} bits" if "bits" in recipe else ""
    return ", ".join(str(part) for part in (recipe.get("scheme") or recipe.get("engine"), bits) if part)


def _files_summary(files: Manifest | None) -> str:
    if files is None:
        return ""
    return f"{counted(len(files.files), 'file')}, {_size(files.size)}"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _packages_summary(bills: Iterable[Evidence]) -> str:
    components = next((e.facts.get("components") for e in bills), None)
    return counted(len(components), "package") if isinstance(components, list) else ""


def _evidence_summary(evidence: Sequence[Evidence]) -> str:
    if not evidence:
        return "no evidence"
    verdict = evidence[0].verdict
    reasons = verdict.reasons() if verdict else [str(evidence[0].facts.get("why", ""))]
    if not reasons:
        return ""
    more = f" (+{len(reasons) - 1})" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}"


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in values.items() if value not in (None, [], "")}


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)
