"""What one entry of an alias log says: a move, who made it, when, why, and which entry it follows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from registry.alias import Alias, Aliases, moved
from registry.digest import Digest
from registry.evidence import Evidence
from registry.predicates import ALIAS_MOVE


@dataclass(frozen=True, kw_only=True)
class Move:
    """One entry: its number from 1, the alias that moved, and all aliases before and after.

    ``version`` is the digest of the version's record, ``at`` an ISO time in UTC, ``previous`` the digest
    of the entry before, ``lost`` the numbers of earlier ones that it goes on without. As with evidence,
    ``signer`` is the name of the trusted key whose signature holds, or None and ``doubt`` says why;
    ``digest`` is that of the entry itself.
    """

    number: int
    name: str
    gpu_class: str
    alias: Alias
    before: Aliases
    after: Aliases
    version: Digest
    at: str = ""
    who: str = ""
    why: str = ""
    run: str | None = None
    previous: Digest | None = None
    lost: tuple[int, ...] = ()
    signer: str | None = None
    key_id: str = ""
    doubt: str = "it is not signed yet"
    digest: Digest | None = None

    @property
    def target(self) -> int | None:
        """The number of the version that the alias points at since this move."""
        return self.after.at(self.alias)

    def makes_live(self, number: int) -> bool:
        """Whether it puts a version into production, or vouches for it: then it moves nothing."""
        if self.before == self.after:
            return number in (self.after.production, self.after.previous)
        return self.alias is Alias.PRODUCTION and self.target == number

    @property
    def evidence(self) -> Evidence:
        """The move as what is signed."""
        facts = {key: _plain(getattr(self, key)) for key in _FACTS} | (
            {"lost": [*self.lost]} if self.lost else {}
        )
        return Evidence(kind=ALIAS_MOVE, subject=self.version, facts=facts)

    @classmethod
    def from_evidence(cls, found: Evidence) -> Move:
        """Read what ``evidence`` says; raises KeyError, TypeError or ValueError for anything else."""
        facts = {key: found.facts[key] for key in _FACTS}
        facts["alias"] = Alias(facts["alias"])
        facts |= {key: Aliases.from_json(facts[key]) for key in ("before", "after")}
        facts["previous"] = None if facts["previous"] is None else Digest.parse(facts["previous"])
        facts["lost"] = tuple(found.facts.get("lost", ()))
        signature = {key: getattr(found, key) for key in ("signer", "key_id", "doubt", "digest")}
        move = cls(**facts, **signature, version=found.subject)
        move._check_types()
        if found.kind != ALIAS_MOVE or move.target is None:
            raise ValueError("it is not a move of an alias")
        if moved(move.before, move.alias, move.target) != move.after:
            raise ValueError(f"moving {move.alias} does not lead from {move.before} to {move.after}")
        return move

    def _check_types(self) -> None:
        texts = (self.name, self.gpu_class, self.at, self.who, self.why, self.run or "")
        if type(self.number) is not int or not all(isinstance(text, str) for text in texts):
            raise TypeError("a value is of the wrong type")
        if not all(type(number) is int and 0 < number < self.number for number in self.lost):
            raise ValueError(f"it cannot go on without {self.lost}")
        if datetime.fromisoformat(self.at).utcoffset() != timedelta(0):
            raise ValueError(f"not a time in UTC: {self.at!r}")

    def to_json(self) -> dict[str, Any]:
        """What programs are shown of it, as plain values."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}


_FACTS = ("number", "name", "gpu_class", "alias", "before", "after", "at", "who", "why", "run", "previous")


def _plain(value: Any) -> Any:
    if isinstance(value, Aliases):
        return value.to_json()
    return str(value) if isinstance(value, Digest | Alias) else value
