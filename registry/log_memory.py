"""What a home has seen of the alias logs of a registry, so that no log is cut off behind its back. Pure.

Signatures and the chain prove every entry that is there; that the newest are there they cannot prove. So each
home remembers how far it has seen a log, as TUF's clients do, outside the store: whoever may write the store
cannot make it forget. A home that has never seen a log believes it as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from registry.data_errors import worded
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError
from registry.store import Store

FORMAT = 1


@dataclass(frozen=True)
class Seen:
    """The newest entry of a log that a home has seen: its number from 1, and its digest."""

    number: int
    entry: Digest

    def to_bytes(self) -> bytes:
        """How it is kept."""
        return canonical_json({"format": FORMAT, "move": self.number, "entry": str(self.entry)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Seen:
        """Read what ``to_bytes`` wrote; raises KeyError, TypeError or ValueError for anything else."""
        value: dict[str, Any] = json.loads(data)
        seen = cls(value["move"], Digest.parse(value["entry"]))
        if type(seen.number) is not int or seen.number < 1 or seen.to_bytes() != data:
            raise ValueError(f"it is not as format {FORMAT} has it")
        return seen


@dataclass(frozen=True)
class LogMemory:
    """What was seen of the logs of one registry: kept in a store of the home's own, which ``where`` names."""

    kept: Store
    where: str

    def seen(self, name: str, gpu_class: str) -> Seen | None:
        """The newest entry that was seen, or None; InfrastructureError when that cannot be read."""
        return self._parsed(_key(name, gpu_class))[1]

    def places(self, name: str | None = None) -> list[tuple[str, str]]:
        """The models (or this one) and GPU classes whose logs were seen, sorted."""
        keys = self.kept.list(f"{name}/" if name else "")
        parts = (key.removesuffix(".json").split("/") for key in keys)
        return sorted((part[0], part[1]) for part in parts if len(part) == 2)

    def remember(self, name: str, gpu_class: str, seen: Seen) -> None:
        """Keep it, unless a later entry has been seen by now."""
        key = _key(name, gpu_class)
        while True:
            data, last = self._parsed(key)
            if last and last.number >= seen.number:
                return
            if self.kept.compare_and_swap(key, data, seen.to_bytes()):
                return

    def forget(self, name: str, gpu_class: str) -> None:
        """Believe the log as it is when it is read next."""
        self.kept.delete(_key(name, gpu_class))

    def _parsed(self, key: str) -> tuple[bytes | None, Seen | None]:
        data = self.kept.get(key)
        try:
            return data, None if data is None else Seen.from_bytes(data)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
            raise InfrastructureError(
                f"What this home remembers of an alias log is damaged: {self.where}/{key}",
                why=worded(problem),
                next_step="see `headgate history`; when every move is there, remove that file",
            ) from problem


def _key(name: str, gpu_class: str) -> str:
    return f"{name}/{gpu_class}.json"
