"""A Store in memory, for one thread: the records of an archive while they are checked, before any is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from registry.store import check_key, check_prefix


class MemoryStore:
    """Store over a mapping of its own."""

    def __init__(self, records: Mapping[str, bytes]) -> None:
        self._records = {check_key(key): data for key, data in records.items()}

    def get(self, key: str) -> bytes | None:
        """The value, or None when there is none."""
        return self._records.get(check_key(key))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the value unless the key has one; returns whether it was written."""
        return self.compare_and_swap(key, None, data)

    def compare_and_swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Write ``new`` if the value is ``expected`` (None: absent); returns whether it was written."""
        if self.get(key) != expected:
            return False
        self._records[key] = new
        return True

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with these characters, sorted."""
        return iter(sorted(key for key in self._records if key.startswith(check_prefix(prefix))))

    def delete(self, key: str) -> None:
        """Remove the value; nothing happens when there is none."""
        self._records.pop(check_key(key), None)
