"""A store, and what this home remembers of it, where whoever may write the store cannot change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from registry.log_memory import LogMemory
from registry.store import Store


@dataclass(frozen=True, repr=False)
class RememberedStore:
    """A Store, what this home has seen of the alias logs in it, and the objections it has read there."""

    store: Store
    memory: LogMemory
    objections: Store

    def get(self, key: str) -> bytes | None:
        """The value, or None when there is none."""
        return self.store.get(key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the value unless the key has one; returns whether it was written."""
        return self.store.put_if_absent(key, data)

    def compare_and_swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Write ``new`` if the value is ``expected`` (None: absent); returns whether it was written."""
        return self.store.compare_and_swap(key, expected, new)

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with these characters, sorted."""
        return self.store.list(prefix)

    def delete(self, key: str) -> None:
        """Remove the value; nothing happens when there is none."""
        self.store.delete(key)

    def __repr__(self) -> str:
        return repr(self.store)


def memory_of(store: Store) -> LogMemory | None:
    """What this home remembers of the alias logs of a store, when it is one that is remembered."""
    return store.memory if isinstance(store, RememberedStore) else None


def objections_of(store: Store) -> Store | None:
    """The objections this home has read in a store, by the keys they had there: see ``evidence``."""
    return store.objections if isinstance(store, RememberedStore) else None
