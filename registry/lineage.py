"""Where a version came from and what became of it: the values of a graph. ``lineage_trace`` makes one. Pure.

A node's mark is what its newest evidence says. Evidence that does not count (``counting``) marks a node
doubtful, whatever its verdict. What evidence allows is for the policy; its answer is only carried along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from registry.alias_move import Move
from registry.digest import Digest
from registry.evidence import Evidence
from registry.version import ModelVersion


class Step(StrEnum):
    """The columns of the graph, in order."""

    SOURCE = "source"
    RECIPE = "recipe"
    RELEASE = "release"
    JUDGED = "judged and built"
    VERSION = "version"
    OUTCOME = "rollouts and aliases"


class Mark(StrEnum):
    """What is known of a node: its verdict, else whether its statement is signed, or should be there."""

    PASS = "pass"  # noqa: S105 - an answer, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    SIGNED = "signed"
    DOUBTFUL = "doubtful"
    MISSING = "missing"
    PLAIN = "plain"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One thing in the history of a version. ``id`` is unique in its graph.

    ``evidence`` is newest first; ``missing_tells`` is whether having none is worth a mark.
    """

    id: str
    step: Step
    title: str
    summary: str = ""
    digests: Mapping[str, Digest] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    missing_tells: bool = False
    move: Move | None = None

    @property
    def counts(self) -> Evidence | None:
        """The evidence the mark is of: the newest that counts, else the newest."""
        return next((e for e in self.evidence if e.signer), next(iter(self.evidence), None))

    @property
    def mark(self) -> Mark:
        """What is known of the node."""
        said = self.counts or self.move
        if said is None:
            return Mark.MISSING if self.missing_tells else Mark.PLAIN
        if said.signer is None:
            return Mark.DOUBTFUL
        verdict = said.verdict if isinstance(said, Evidence) else None
        return Mark(verdict.outcome) if verdict else Mark.SIGNED

    @property
    def signer(self) -> str | None:
        """The trusted key that vouches for it, by name."""
        said = self.counts or self.move
        return said.signer if said else None

    @property
    def doubt(self) -> str:
        """Why nobody does, or nothing."""
        said = self.counts or self.move
        return said.doubt if said and said.signer is None else ""

    @property
    def at(self) -> str:
        """When it was said: an ISO time in UTC, or nothing."""
        return said_at(self.counts) if self.counts else self.move.at if self.move else ""

    def to_json(self) -> dict[str, Any]:
        """What programs are shown of it, as plain values."""
        return {
            "id": self.id,
            "step": str(self.step),
            "title": self.title,
            "summary": self.summary,
            "mark": str(self.mark),
            "signer": self.signer,
            "doubt": self.doubt,
            "at": self.at,
            "digests": {name: str(digest) for name, digest in self.digests.items()},
            "evidence": [str(e.digest) for e in self.evidence],
        }


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The graph of one version. ``missing`` says, by alias, what its policy still asks for.

    ``moves`` are of this house's log, ``elsewhere`` of another's: history, on which nothing rests here.
    ``exempt`` says why the policy asks for so little, when it does (``policy.exemption``).
    """

    version: ModelVersion
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    evidence: tuple[Evidence, ...]
    moves: tuple[Move, ...]
    elsewhere: tuple[Move, ...]
    aliases: tuple[str, ...]
    missing: Mapping[str, Sequence[str]]
    exempt: str = ""

    @property
    def standing(self) -> tuple[Mark, str]:
        """Where the version stands, in a few words, and the mark that goes with them."""
        lacks = self.missing.get("production", ())
        if "production" in self.aliases:
            return (Mark.ERROR, "Live, and the policy would refuse it now") if lacks else (Mark.PASS, "Live")
        if lacks:
            return Mark.FAIL, "May not be promoted"
        return Mark.PASS, "May be promoted, exempt from the policy" if self.exempt else "May be promoted"

    @property
    def asked(self) -> list[tuple[list[str], list[str]]]:
        """What the policy still asks for: the aliases that want the same, and the sentences."""
        lists = dict.fromkeys(tuple(lacks) for lacks in self.missing.values() if lacks)
        return [([a for a, lacks in self.missing.items() if tuple(lacks) == same], [*same]) for same in lists]

    def to_json(self) -> dict[str, Any]:
        """What programs are shown of it, as plain values."""
        return {
            "version": self.version.to_json(),
            "aliases": list(self.aliases),
            "standing": self.standing[1],
            "missing": {alias: list(lacks) for alias, lacks in self.missing.items()},
            "exempt": self.exempt,
            "nodes": [node.to_json() for node in self.nodes],
            "edges": [list(edge) for edge in self.edges],
            "evidence": [e.to_json() for e in self.evidence],
            "moves": [move.to_json() for move in self.moves],
            "moves_elsewhere": [move.to_json() for move in self.elsewhere],
        }

    def of_step(self, step: Step) -> list[Node]:
        """The nodes of one column."""
        return [node for node in self.nodes if node.step is step]


def said_at(evidence: Evidence) -> str:
    """When it was said: an ISO time in UTC, or nothing, as a document of another standard has none."""
    return str(evidence.facts.get("at", ""))
