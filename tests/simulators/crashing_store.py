"""Stores that count their calls, die at one of them, or let others run in between. For tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from registry.store import Store


class Died(BaseException):
    """The process was killed here: nothing after this line ran."""


class CountingStore:
    """Passes everything on; ``calls`` counts operations, a listing as one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls = 0
        self.listed = 0

    def get(self, key: str) -> bytes | None:
        with _Step(self):
            return self._store.get(key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with _Step(self):
            return self._store.put_if_absent(key, data)

    def compare_and_swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        with _Step(self):
            return self._store.compare_and_swap(key, expected, new)

    def list(self, prefix: str) -> Iterator[str]:
        self.listed += 1
        with _Step(self):
            return self._store.list(prefix)

    def delete(self, key: str) -> None:
        with _Step(self):
            self._store.delete(key)

    def before(self, operation: int) -> None:
        """Called before the operation of this number, from 0."""

    def after(self, operation: int) -> None:
        """Called after it took effect."""


class CrashingStore(CountingStore):
    """Dies at the operation of this number, before it or after it took effect."""

    def __init__(self, store: Store, operation: int, after: bool) -> None:
        super().__init__(store)
        self._dies = (operation, after)

    def before(self, operation: int) -> None:
        if self._dies == (operation, False):
            raise Died

    def after(self, operation: int) -> None:
        if self._dies == (operation, True):
            raise Died


class InterleavedStore(CountingStore):
    """Lets others run before each operation."""

    def __init__(self, store: Store, others: Callable[[int], None]) -> None:
        super().__init__(store)
        self._others = others

    def before(self, operation: int) -> None:
        self._others(operation)


class _Step:
    def __init__(self, store: CountingStore) -> None:
        self._store = store
        self._operation = store.calls

    def __enter__(self) -> None:
        self._store.before(self._operation)
        self._store.calls += 1

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._store.after(self._operation)
