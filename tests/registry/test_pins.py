"""Pins: kept until somebody takes them out, and never misread."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.dir_store import DirStore
from registry.errors import InfrastructureError, UsageError
from registry.pins import Pin, list_pins, pin, unpin

AT = "2026-11-20T10:00:00+00:00"


@pytest.fixture
def store(tmp_path: Path) -> DirStore:
    """An empty store."""
    return DirStore(tmp_path)


def test_pins_are_listed_until_they_are_taken_out(store: DirStore) -> None:
    """In the order of versions; names may have dashes and numbers in them."""
    for version in ("tiny/10", "tiny/9", "a-1/2"):
        pin(store, Pin(version, "ada", "a customer compares", AT))
    assert [found.version for found in list_pins(store)] == ["a-1/2", "tiny/9", "tiny/10"]
    assert unpin(store, "tiny/9")
    assert not unpin(store, "tiny/9")
    assert [found.version for found in list_pins(store)] == ["a-1/2", "tiny/10"]


def test_pinning_again_says_why_again(store: DirStore) -> None:
    """The newest reason is the one that counts."""
    pin(store, Pin("tiny/1", "ada", "old", AT))
    pin(store, Pin("tiny/1", "bob", "new", AT))
    assert list_pins(store) == [Pin("tiny/1", "bob", "new", AT)]


@pytest.mark.parametrize(
    "damage",
    [b"", b"[]", b"{}", b'{"format":2}', Pin("tiny/2", "ada", "", AT).to_bytes()],
)
def test_a_damaged_pin_is_an_error_and_no_missing_pin(store: DirStore, damage: bytes) -> None:
    """Otherwise what it kept would be collected."""
    store.put_if_absent("pins/tiny-1.json", damage)
    with pytest.raises(InfrastructureError, match=r"pins/tiny-1\.json cannot be read"):
        list_pins(store)


@pytest.mark.parametrize("version", ["tiny", "tiny/0", "tiny/x", "Tiny/1", ""])
def test_only_versions_can_be_pinned(version: str) -> None:
    """A pin that keeps nothing would be a lie."""
    with pytest.raises(ValueError, match="not a"):
        Pin(version, "ada", "", AT)
    with pytest.raises(UsageError, match="not a"):
        unpin(DirStore(Path("absent")), version)
