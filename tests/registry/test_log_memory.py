"""A log that is cut off is noticed by every home that has seen more of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.alias import Alias, Aliases
from registry.alias_history import check_log, history, read_log
from registry.alias_log import all_aliases, get_aliases, move_alias, places, roll_forward
from registry.alias_vouch import vouch
from registry.digest import Digest, canonical_json
from registry.dir_store import DirStore
from registry.errors import InfrastructureError
from registry.home import Home
from registry.log_memory import LogMemory, Seen
from registry.memory_store import MemoryStore
from registry.open_store import open_registry
from registry.publish import publish
from registry.remembered_store import RememberedStore
from registry.store import Store
from tests.simulators.json_values import mangled
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import digest, draft

SIGNER, TRUST = signer_and_trust()
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
RECORD = "aliases/tiny/cpu.json"
TINY = ("tiny", "cpu")


def seen_by_a_home(store: Store) -> RememberedStore:
    return RememberedStore(store, LogMemory(MemoryStore({}), "seen/home"), MemoryStore({}))


def move(store: Store, number: int) -> None:
    facts = {"name": "tiny", "gpu_class": "cpu", "at": NOW, "who": "ann", "why": "w"}
    move_alias(store, SIGNER, TRUST, alias=Alias.PRODUCTION, number=number, **facts)  # type: ignore[arg-type]


def sign_for(store: Store, *, restored: bool) -> bool:
    facts = {"name": "tiny", "gpu_class": "cpu", "at": NOW, "who": "ann", "why": "restored"}
    return vouch(store, SIGNER, TRUST, restored=restored, **facts).signed  # type: ignore[arg-type]


@pytest.fixture
def store() -> MemoryStore:
    """Two versions; production was moved to the first and then to the second."""
    made = MemoryStore({})
    for index in range(2):
        publish(made, draft(image=digest(str(index))))
    return made


@pytest.fixture
def early() -> dict[str, bytes | None]:
    return {}


@pytest.fixture
def home(store: MemoryStore, early: dict[str, bytes | None]) -> RememberedStore:
    """A home that saw both moves; ``early`` is the record as it was after the first."""
    made = seen_by_a_home(store)
    move(made, 1)
    early[RECORD] = store.get(RECORD)
    move(made, 2)
    return made


def entry(number: int) -> str:
    return f"audit/tiny/cpu/{number:08d}.json"


def put_back(store: Store, key: str, data: bytes | None) -> None:
    store.delete(key)
    if data is not None:
        store.put_if_absent(key, data)


def newest_entry_removed(store: Store, early: bytes | None) -> None:
    store.delete(entry(2))
    put_back(store, RECORD, early)


def everything_removed(store: Store, early: bytes | None) -> None:
    for key in (entry(1), entry(2), RECORD):
        store.delete(key)


def old_format_forged(store: Store, early: bytes | None) -> None:
    everything_removed(store, early)
    forged = {"candidate": None, "production": 1, "previous": None}
    store.put_if_absent(RECORD, canonical_json(forged))


def other_moves_made(store: Store, early: bytes | None) -> None:
    newest_entry_removed(store, early)
    for alias in (Alias.CANDIDATE, Alias.STAGING):  # signed, by a home that has not seen what was there
        facts = {"name": "tiny", "gpu_class": "cpu", "at": NOW, "who": "bob", "why": "w"}
        move_alias(store, SIGNER, TRUST, alias=alias, number=1, **facts)  # type: ignore[arg-type]


CUTS = [newest_entry_removed, everything_removed, old_format_forged, other_moves_made]
Cut = Callable[[Store, bytes | None], None]


@pytest.mark.parametrize("cut", CUTS)
def test_a_log_that_was_cut_is_not_believed(
    home: RememberedStore, store: MemoryStore, early: dict[str, bytes | None], cut: Cut
) -> None:
    """By no reader and no mover; what was seen, what is there and what to do is said."""
    cut(store, early[RECORD])
    assert get_aliases(store, TRUST, *TINY) is not None  # who has not seen it cannot know
    acts: list[Callable[[], object]] = [
        lambda: get_aliases(home, TRUST, *TINY),
        lambda: all_aliases(home, TRUST),
        lambda: move(home, 2),
        lambda: roll_forward(home, TRUST, *TINY),
        lambda: sign_for(home, restored=False),
    ]
    for act in acts:
        with pytest.raises(InfrastructureError, match=r"this home has seen move 2 .* now.*--restored"):
            act()
    cut = read_log(home, TRUST, *TINY).wrong[0]
    assert "was cut off: this home has seen move 2" in cut
    assert cut in check_log(home, TRUST, *TINY)
    assert places(home) == [TINY]


@pytest.mark.parametrize("cut", CUTS)
def test_a_store_restored_on_purpose_is_vouched_for(
    home: RememberedStore, store: MemoryStore, early: dict[str, bytes | None], cut: Cut
) -> None:
    """From then on the home remembers the log as it is; the log says who accepted it."""
    cut(store, early[RECORD])
    signed = sign_for(home, restored=True)
    assert signed == (get_aliases(home, TRUST, *TINY) != Aliases())
    assert check_log(home, TRUST, *TINY) == []
    if signed:
        assert history(home, TRUST, "tiny")[-1].why == "restored"
        move(home, 2)


def test_an_untouched_log_is_followed(home: RememberedStore, store: MemoryStore) -> None:
    """Also over moves that other homes made, and when the record lags behind."""
    other = seen_by_a_home(store)
    assert get_aliases(other, TRUST, *TINY).production == 2
    move(other, 1)
    assert get_aliases(home, TRUST, *TINY).production == 1
    assert check_log(home, TRUST, *TINY) == []
    last = history(store, TRUST, "tiny")[-1]
    assert last.digest
    assert home.memory.seen(*TINY) == Seen(3, last.digest)


def test_an_old_record_put_back_heals(
    home: RememberedStore, store: MemoryStore, early: dict[str, bytes | None]
) -> None:
    """The log is whole, so nothing is missing."""
    put_back(store, RECORD, early[RECORD])
    assert get_aliases(home, TRUST, *TINY).production == 2


def test_what_was_seen_only_grows(home: RememberedStore) -> None:
    """A slower process of the same home does not take back what a faster one has seen."""
    before = home.memory.seen(*TINY)
    home.memory.remember(*TINY, Seen(1, digest("x")))
    assert home.memory.seen(*TINY) == before
    assert before


def test_a_damaged_memory_is_said(home: RememberedStore) -> None:
    """With the file that it is, for it is one person's to look at."""
    put_back(home.memory.kept, "tiny/cpu.json", b"{}")
    with pytest.raises(InfrastructureError, match=r"seen/home/tiny/cpu\.json"):
        get_aliases(home, TRUST, *TINY)


def test_each_registry_is_remembered_for_itself(tmp_path: Path) -> None:
    """The home's own, folders, buckets, and buckets of different services; however they are written."""
    home = Home(tmp_path)
    other, service = {"HEADGATE_STORE": "s3://models/team"}, {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    environments = [{}, {"HEADGATE_STORE": str(tmp_path / "shared")}, other, {**other, **service}]
    found = [open_registry(env, home).memory.where for env in environments]
    assert len(set(found)) == len(found)
    assert open_registry({"HEADGATE_STORE": str(home.store)}, home).memory.where == found[0]
    assert open_registry({"HEADGATE_STORE": "s3://models/team/"}, home).memory.where == found[2]


@pytest.fixture
def spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ways to write the address of one folder, the plain one first."""
    (tmp_path / "mnt/shared").mkdir(parents=True)
    (tmp_path / "link").symlink_to("mnt/shared")
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path / "mnt")
    root = str(tmp_path)
    return [
        f"{root}/mnt/shared",
        f"{root}/mnt//shared/",
        f"{root}/mnt/../mnt/shared",
        f"{root}/link",
        "shared",
        "../link",
    ]


def test_a_folder_is_remembered_however_its_address_is_written(tmp_path: Path, spellings: list[str]) -> None:
    """Links, dots and slashes make no other registry of it; the key of a plain path is as it always was."""
    home = Home(tmp_path / "home")
    found = {open_registry({"HEADGATE_STORE": spelt}, home).memory.where for spelt in spellings}
    plain = hashlib.sha256(spellings[0].encode()).hexdigest()[:16]
    assert found == {str(home.seen / plain)}
    assert open_registry({"HEADGATE_STORE": str(tmp_path / "loop")}, home).memory.where not in found
    home.root.mkdir()
    home.store.symlink_to(spellings[0])
    found = {open_registry({"HEADGATE_STORE": spelt}, home).memory.where for spelt in ("", *spellings)}
    assert found == {str(home.seen / "home")}


def test_what_an_older_headgate_remembered_of_a_link_is_taken_over(
    tmp_path: Path, spellings: list[str]
) -> None:
    """It kept it under the address as it was written; the newer of two memories holds."""
    home, link = Home(tmp_path / "home"), spellings[3]
    old = hashlib.sha256(link.encode()).hexdigest()[:16]
    before = LogMemory(DirStore(home.seen / old), "")
    before.remember(*TINY, Seen(7, digest("x")))
    before.remember("tiny", "h100", Seen(2, digest("x")))
    DirStore(home.objections / old).put_if_absent("evidence/a/b.json", b"no")
    plain = open_registry({"HEADGATE_STORE": spellings[0]}, home)
    plain.memory.remember("tiny", "h100", Seen(3, digest("y")))
    for spelt in (link, spellings[0]):
        now = open_registry({"HEADGATE_STORE": spelt}, home)
        assert now.memory.seen(*TINY) == Seen(7, digest("x"))
        assert now.memory.seen("tiny", "h100") == Seen(3, digest("y"))
        assert now.objections.get("evidence/a/b.json") == b"no"
    assert before.places() == []


@given(st.integers(1, 10**6), st.binary(max_size=4), st.data())
def test_what_was_seen_is_read_as_it_was_written(number: int, data: bytes, draw: st.DataObject) -> None:
    """And anything else is no memory."""
    seen = Seen(number, Digest.of_bytes(data))
    assert Seen.from_bytes(seen.to_bytes()) == seen
    changed = json.dumps(draw.draw(mangled(json.loads(seen.to_bytes())))).encode()
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        assert Seen.from_bytes(changed).to_bytes() == changed


def test_a_vouch_that_fails_forgets_nothing(home: RememberedStore, store: MemoryStore) -> None:
    """Whoever cut the log off must not get its memory erased by a person in a hurry."""
    before = home.memory.seen(*TINY)
    for number in (1, 2):
        store.delete(entry(number))  # the record still names the second
    with pytest.raises(InfrastructureError, match=f"remove {RECORD}, and .*--restored"):
        sign_for(home, restored=True)
    assert home.memory.seen(*TINY) == before
    store.delete(RECORD)  # as it was told to
    assert not sign_for(home, restored=True)
    assert get_aliases(home, TRUST, *TINY) == Aliases()
    move(home, 1)


def test_what_was_seen_and_is_gone_is_told_as_lost(
    home: RememberedStore, store: MemoryStore, early: dict[str, bytes | None]
) -> None:
    """No number is given twice: what is gone can be told from what was made after it."""
    newest_entry_removed(store, early[RECORD])
    assert sign_for(home, restored=True)
    last = history(home, TRUST, "tiny")[-1]
    assert (last.number, last.lost, last.after.production) == (3, (2,), 1)
    store.delete(RECORD)
    assert get_aliases(home, TRUST, *TINY) == last.after
