"""Backups: a copy of a store is that store, later copies add what is new, and nothing newer is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.alias import Alias
from registry.alias_log import get_aliases
from registry.dir_store import DirStore
from registry.errors import Refused
from registry.pins import Pin, list_pins, pin, unpin
from registry.publish import get_version, list_versions
from registry.store import Store
from registry.store_copy import Copied, copy_store
from tests.simulators.released import TinyHome, move, release, tiny_home
from tests.simulators.s3_servers import any_server, s3_server


def ignore(_done: int, _all: int) -> None:
    """Hears nothing."""


def contents(store: Store) -> dict[str, bytes | None]:
    return {key: store.get(key) for key in store.list("") if not key.startswith("leases/")}


@pytest.fixture
def at(tmp_path: Path) -> TinyHome:
    """A home with a released version, a pin and a lease."""
    made = tiny_home(tmp_path / "home")
    release(made)
    pin(made.store, Pin("tiny/1", "ada", "the demo", "2026-11-20T10:00:00+00:00"))
    made.store.put_if_absent("leases/somebody.json", b"{}")
    return made


def test_a_backup_is_restored_as_it_was(at: TinyHome, tmp_path: Path) -> None:
    """There and back: aliases and pins too, but not what belongs to running processes."""
    backup, restored = DirStore(tmp_path / "backup"), DirStore(tmp_path / "restored")
    copy_store(at.store, backup, ignore)
    copy_store(backup, restored, ignore)
    assert contents(restored) == contents(at.store)
    assert restored.get("leases/somebody.json") is None
    assert get_aliases(restored, at.trust, "tiny", "cpu").production == 1


def test_a_store_moves_to_a_bucket_and_back(at: TinyHome, tmp_path: Path) -> None:
    """The same records, whatever keeps them."""
    (tmp_path / "bucket").mkdir()
    with s3_server(any_server(), tmp_path / "bucket") as server:
        copy_store(at.store, server.store("team"), ignore)
        copy_store(server.store("team"), DirStore(tmp_path / "restored"), ignore)
        assert contents(server.store("team")) == contents(at.store)
    assert contents(DirStore(tmp_path / "restored")) == contents(at.store)


def test_a_later_copy_brings_what_is_new(at: TinyHome, tmp_path: Path) -> None:
    """And only that; a pin that was taken out is gone from the copy."""
    backup = DirStore(tmp_path / "backup")
    first = copy_store(at.store, backup, ignore)
    assert first.written == first.records == len(contents(at.store))
    assert copy_store(at.store, backup, ignore) == Copied(first.records, 0, 0)
    release(at, weights={"config.json": b"{}"})
    unpin(at.store, "tiny/1")
    later = copy_store(at.store, backup, ignore)
    assert contents(backup) == contents(at.store)
    assert later.written < later.records
    assert later.removed == 1
    assert list_pins(backup) == []


def test_a_newer_store_is_not_written_over(at: TinyHome, tmp_path: Path) -> None:
    """Naming source and target the wrong way round loses nothing."""
    backup = DirStore(tmp_path / "backup")
    copy_store(at.store, backup, ignore)
    move(at, Alias.STAGING, get_version(at.store, "tiny/1"))
    before = contents(at.store)
    with pytest.raises(Refused, match="no older copy"):
        copy_store(backup, at.store, ignore)
    assert contents(at.store) == before


def test_two_histories_are_not_mixed(at: TinyHome, tmp_path: Path) -> None:
    """The same key with other content stops the copy."""
    other = tiny_home(tmp_path / "other")
    release(other, weights={"config.json": b"other"})
    with pytest.raises(Refused, match="no older copy"):
        copy_store(at.store, other.store, ignore)
    target = DirStore(tmp_path / "target")
    target.put_if_absent("versions/tiny/000001.json", b"{}")
    with pytest.raises(Refused, match="another one in the store to copy to"):
        copy_store(at.store, target, ignore)


def test_damage_is_not_copied(at: TinyHome, tmp_path: Path) -> None:
    """A backup of a damaged record would replace a good one."""
    key = next(at.store.list("evidence/"))
    data = at.store.get(key)
    assert data
    at.store.compare_and_swap(key, data, data[:-1])
    with pytest.raises(Refused, match="is damaged"):
        copy_store(at.store, DirStore(tmp_path / "backup"), ignore)


@pytest.mark.parametrize("survived", [0, 1, 7, 14])
def test_an_interrupted_copy_goes_on(at: TinyHome, tmp_path: Path, survived: int) -> None:
    """Killed after any record: what was copied is whole, aliases point at nothing that is missing."""
    backup = DirStore(tmp_path / "backup")

    def die(done: int, _all: int) -> None:
        if done > survived:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_store(at.store, backup, die)
    if list(backup.list("aliases/")):
        assert list_versions(backup)
    copy_store(at.store, backup, ignore)
    assert contents(backup) == contents(at.store)


def test_a_store_in_use_is_copied_as_it_was(at: TinyHome, tmp_path: Path) -> None:
    """Aliases that move during the copy are in it as they were."""
    backup = DirStore(tmp_path / "backup")
    moved = False

    def use(_done: int, _all: int) -> None:
        nonlocal moved
        if not moved:
            moved = True
            release(at, weights={"config.json": b"{}"})

    copy_store(at.store, backup, use)
    assert get_aliases(backup, at.trust, "tiny", "cpu").production == 1
    copy_store(at.store, backup, ignore)
    assert get_aliases(backup, at.trust, "tiny", "cpu").production == 2
