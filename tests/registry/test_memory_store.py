"""The store in memory answers as every store does."""

from __future__ import annotations

import pytest

from registry.memory_store import MemoryStore


def test_values_are_created_once_and_swapped_by_what_they_are() -> None:
    """Nobody writes over what they have not seen."""
    store = MemoryStore({"a/b": b"1"})
    assert not store.put_if_absent("a/b", b"2")
    assert not store.compare_and_swap("a/b", b"0", b"2")
    assert store.compare_and_swap("a/b", b"1", b"2")
    assert store.put_if_absent("a/c", b"3")
    assert list(store.list("a/")) == ["a/b", "a/c"]
    store.delete("a/b")
    store.delete("a/b")
    assert store.get("a/b") is None
    assert list(store.list("")) == ["a/c"]


@pytest.mark.parametrize("key", ["", "../x", "A", "/a", "a//b"])
def test_a_malformed_key_is_refused(key: str) -> None:
    """The keys are those of every store, also those it begins with."""
    with pytest.raises(ValueError, match="not a store key"):
        MemoryStore({}).get(key)
    with pytest.raises(ValueError, match="not a store key"):
        MemoryStore({key: b""})
