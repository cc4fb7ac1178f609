"""Backups: a copy of a store is that store, later copies add what is new, and nothing newer is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.alias import Alias
from registry.alias_log import get_aliases
from registry.dir_store import DirStore
from registry.errors import Refused, UsageError
from registry.memory_store import MemoryStore
from registry.open_store import open_ends
from registry.pins import Pin, list_pins, pin, unpin
from registry.publish import get_version, list_versions
from registry.store import PLACES, Store
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


def test_how_far_a_copy_is_is_told_of_all_records(at: TinyHome, tmp_path: Path) -> None:
    """From the first one on."""
    told: list[tuple[int, int]] = []
    records = copy_store(at.store, DirStore(tmp_path / "backup"), lambda *done: told.append(done)).records
    assert told == [(number, records) for number in range(1, records + 1)]


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


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("versions/tiny/000001.json", b"{}"),
        ("versions/tiny/000001.json", b"x"),
        ("aliases/tiny/cpu.json", b"x"),
        ("aliases/tiny/cpu.json", b"{}"),
    ],
)
def test_a_record_that_says_something_else_is_not_copied(
    at: TinyHome, tmp_path: Path, key: str, data: bytes
) -> None:
    """A backup that could not be restored is no backup."""
    before = at.store.get(key)
    assert before is not None
    assert at.store.compare_and_swap(key, before, data)
    with pytest.raises(Refused, match=f"{key} is damaged"):
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


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def copy(source: object, target: object, env: dict[str, str] | None = None) -> Copied:
    """As the command does it."""
    return copy_store(*open_ends(env or {}, str(source), str(target)), ignore)


def test_a_home_is_no_store_and_its_private_key_stays_where_it_is(at: TinyHome, tmp_path: Path) -> None:
    """Named by one folder too few, nothing is copied; neither is anything written into a home."""
    (at.home.keys / "signing.pem").write_bytes(at.signer.to_pem())
    backup = tmp_path / "backup"
    with pytest.raises(UsageError, match=rf"no store at .*home\. .*did you mean {at.home.store}\?"):
        copy(at.home.root, backup)
    with pytest.raises(UsageError, match=r"it holds other things, such as .*did you mean .*home/store\?"):
        copy_store(DirStore(at.home.root), DirStore(backup), ignore)
    assert not backup.exists()
    before = files(at.home.root)
    copy(at.home.store, backup)
    with pytest.raises(UsageError, match="did you mean"):
        copy(backup, at.home.root)
    assert files(at.home.root) == before


@pytest.mark.parametrize(
    "key", ["keys/signing.pem", "notes.txt", "versions-old/tiny/000001.json", "seen/home/tiny/cpu.json"]
)
def test_keys_that_no_store_has_stop_a_copy(at: TinyHome, tmp_path: Path, key: str) -> None:
    """Among records of a store, at either end; what its dead writers left does not."""
    spoilt, backup = tmp_path / "spoilt", tmp_path / "backup"
    (at.home.store / "versions" / ".tmp-1-dead").write_bytes(b"x")
    copy(at.home.store, spoilt)
    DirStore(spoilt).put_if_absent(key, b"secret")
    with pytest.raises(UsageError, match=rf"it holds other things, such as {key}"):
        copy(spoilt, backup)
    assert not backup.exists()
    with pytest.raises(UsageError, match=rf"is no store to copy to.* such as {key}"):
        copy(at.home.store, spoilt)


def test_a_bucket_is_looked_at_in_the_same_way(at: TinyHome, tmp_path: Path) -> None:
    """A prefix too few is other people's things."""
    (tmp_path / "bucket").mkdir()
    with s3_server(any_server(), tmp_path / "bucket") as server:
        copy_store(at.store, server.store("team/registry"), ignore)
        with pytest.raises(UsageError, match=r"did you mean s3://headgate/team/registry\?"):
            copy_store(server.store(), DirStore(tmp_path / "backup"), ignore)
        with pytest.raises(UsageError, match="is no store to copy to"):
            copy_store(at.store, server.store("team"), ignore)
        with pytest.raises(UsageError, match=r"no store at s3://headgate/taem\. there are no records"):
            copy_store(server.store("taem"), DirStore(tmp_path / "backup"), ignore)
    assert not (tmp_path / "backup").exists()


def test_a_source_that_is_not_there_is_no_empty_store(tmp_path: Path) -> None:
    """Mistyped, empty, a file, or only what runs leave: exit code 2, and the target is not made."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    DirStore(tmp_path / "leases").put_if_absent("leases/somebody.json", b"{}")
    for name, why in {
        "mistyped": "the folder does not exist",
        "empty": "there are no records",
        "leases": "there are no records",
        "file": "it is a file, or lies under one",
        "file/under": "it is a file, or lies under one",
    }.items():
        with pytest.raises(UsageError, match=rf"no store at .*/{name}\. {why}\. Next: "):
            copy(tmp_path / name, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_folder_of_other_things_is_not_written_into(at: TinyHome, tmp_path: Path) -> None:
    """Whatever they are called; a new disk and dot files are as good as empty."""
    target = tmp_path / "target"
    (target / "lost+found").mkdir(parents=True)
    (target / ".snapshots").mkdir()
    (target / "Photo.JPG").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"holds other things, such as Photo\.JPG.*Next: choose an empty"):
        copy(at.home.store, target)
    (target / "Photo.JPG").unlink()
    assert copy(at.home.store, target).written
    (target / "README.md").write_bytes(b"what this is")
    assert copy(at.home.store, target).written == 0


def test_a_store_is_not_copied_to_or_into_itself(at: TinyHome, tmp_path: Path) -> None:
    """By whatever name; in a bucket, by prefix."""
    store, link, env = at.home.store, tmp_path / "link", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    link.symlink_to(store)
    before = files(store)
    for target in (store, link, f"{store}/../store", f"{link}/backup", store / "backup"):
        with pytest.raises(UsageError, match="is not copied to"):
            copy(store, target)
    for target in ("s3://models/team", "s3://models/team/", "s3://models/team/backup", "s3://models"):
        with pytest.raises(UsageError, match="is not copied to"):
            copy("s3://models/team", target, env)
    assert files(store) == before
    for target in ("s3://models/team-2", "s3://others/team", str(tmp_path / "store")):
        assert open_ends(env, "s3://models/team", target)


def test_nothing_is_not_the_homes_own_store(at: TinyHome, tmp_path: Path) -> None:
    """An unset variable in a script."""
    for source, target in (("", tmp_path / "backup"), (at.home.store, "")):
        with pytest.raises(UsageError, match=r"'' names no store\. it is empty"):
            copy(source, target)


def test_what_every_release_writes_is_known(at: TinyHome) -> None:
    """A place that is new has to be added: a store with it would not be copied any more."""
    assert {key.partition("/")[0] + "/" for key in at.store.list("")} <= {*PLACES}
    assert copy_store(at.store, MemoryStore({}), ignore).written
