"""Going on after a loss that no backup has: somebody signs for what is left, and what is lost is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from registry.alias import Alias, Aliases
from registry.alias_chain import Chain
from registry.alias_entries import read_links
from registry.alias_history import check_log, history, read_log
from registry.alias_log import get_aliases, move_alias, roll_forward
from registry.alias_vouch import vouch
from registry.digest import canonical_json
from registry.errors import InfrastructureError
from registry.memory_store import MemoryStore
from registry.publish import get_version, publish
from registry.store import Store
from registry.trust import Trust
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import digest, draft

SIGNER, TRUST = signer_and_trust()
RECORD, TINY = "aliases/tiny/cpu.json", ("tiny", "cpu")
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def move(store: Store, number: int, **changes: Any) -> Aliases:
    facts = {"name": "tiny", "gpu_class": "cpu", "at": NOW, "who": "ann", "why": "it passed", **changes}
    return move_alias(store, SIGNER, TRUST, number=number, **{"alias": Alias.PRODUCTION, **facts})


def sign_for(store: Store, *, restored: bool = True, trust: Trust = TRUST) -> bool:
    facts: dict[str, Any] = {"name": "tiny", "gpu_class": "cpu", "at": NOW, "who": "bob", "why": "disk died"}
    return vouch(store, SIGNER, trust, restored=restored, **facts).signed


def entry(number: int) -> str:
    return f"audit/tiny/cpu/{number:08d}.json"


def put(store: Store, key: str, data: bytes | None) -> None:
    store.delete(key)
    if data is not None:
        store.put_if_absent(key, data)


@pytest.fixture
def store() -> MemoryStore:
    """Production moved to tiny/1, to 2, to 3 and back to 2: four entries, and a record."""
    made = MemoryStore({})
    for index in range(3):
        publish(made, draft(image=digest(str(index))))
    for number in (1, 2, 3, 2):
        move(made, number)
    return made


def missing(store: MemoryStore, number: int) -> None:
    store.delete(entry(number))


def damaged(store: MemoryStore, number: int) -> None:
    put(store, entry(number), b"{}")


def replaced(store: MemoryStore, number: int) -> None:
    other = MemoryStore({key: data for key in store.list("versions") if (data := store.get(key))})
    for to in (2, 1, 2, 3)[:number]:
        move(other, to)
    put(store, entry(number), other.get(entry(number)))


Spoil = Callable[[MemoryStore, int], None]
SPOILS = [missing, damaged, replaced]


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("number", [2, 3])
def test_a_gap_in_the_middle_is_signed_for(store: MemoryStore, spoil: Spoil, number: int) -> None:
    """The entry names what is lost, who goes on without it and why; after it nothing is wrong any more."""
    truth = get_aliases(store, TRUST, *TINY)
    spoil(store, number)
    assert any(entry(number) in problem for problem in check_log(store, TRUST, *TINY))
    with pytest.raises(
        InfrastructureError, match=rf"{entry(number)} is missing or damaged.*--why.*--restored"
    ):
        sign_for(store, restored=False)
    assert sign_for(store)
    assert check_log(store, TRUST, *TINY) == []
    assert read_links(Chain(store, TRUST, *TINY)).broken == ()
    assert get_aliases(store, TRUST, *TINY) == truth
    *before, last = history(store, TRUST, "tiny")
    assert (last.lost, last.who, last.why, last.before) == ((number,), "bob", "disk died", last.after)
    assert [(m.number, m.doubt) for m in before] == [(n, "") for n in (1, 2, 3, 4) if n != number]
    assert not sign_for(store, restored=False)
    assert move(store, 1).production == 1
    assert check_log(store, TRUST, *TINY) == []


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_lost_end_is_signed_for(store: MemoryStore, spoil: Spoil) -> None:
    """The aliases are where the last whole entry has them: what an unsigned record says is nobody's word."""
    spoil(store, 4)
    with pytest.raises(InfrastructureError, match="--restored"):
        get_aliases(store, TRUST, *TINY)
    assert sign_for(store)
    assert get_aliases(store, TRUST, *TINY) == Aliases(production=3, previous=2)
    assert check_log(store, TRUST, *TINY) == []
    assert move(store, 2) == Aliases(production=2, previous=3)


def test_several_gaps_and_a_second_loss(store: MemoryStore) -> None:
    """Each is named once, by whoever went on without it."""
    missing(store, 1)
    damaged(store, 3)
    assert sign_for(store)
    move(store, 1)
    missing(store, 2)
    assert sign_for(store)
    assert [m.lost for m in history(store, TRUST, "tiny")] == [(), (1, 3), (), (2,)]
    assert check_log(store, TRUST, *TINY) == []


def test_a_log_with_a_gap_is_followed_without_its_record(store: MemoryStore) -> None:
    """Readers stop at a gap until somebody signs for it, and then go on behind it."""
    truth = get_aliases(store, TRUST, *TINY)
    missing(store, 2)
    store.delete(RECORD)
    with pytest.raises(InfrastructureError, match=rf"{entry(2)} is missing.*--restored"):
        get_aliases(store, TRUST, *TINY)
    assert sign_for(store)
    store.delete(RECORD)
    assert get_aliases(store, TRUST, *TINY) == truth
    assert roll_forward(store, TRUST, *TINY)
    assert check_log(store, TRUST, *TINY) == []


def test_what_a_distrusted_key_gave_up_is_missing_again(store: MemoryStore) -> None:
    """Until somebody who is trusted signs for it."""
    missing(store, 2)
    assert sign_for(store)
    other, trust = signer_and_trust("ann")
    assert any(entry(2) in problem for problem in check_log(store, trust, *TINY))
    facts: dict[str, Any] = {"name": "tiny", "gpu_class": "cpu", "at": NOW, "who": "ann", "why": "key gone"}
    assert vouch(store, other, trust, restored=True, **facts).signed
    assert check_log(store, trust, *TINY) == []


def test_the_entry_put_back_from_a_backup_heals_the_log(store: MemoryStore) -> None:
    """The first remedy of every message: nobody has to sign for anything."""
    kept = store.get(entry(2))
    damaged(store, 2)
    with pytest.raises(InfrastructureError, match="put it back from a backup"):
        sign_for(store, restored=False)
    put(store, entry(2), kept)
    assert not sign_for(store, restored=False)
    assert check_log(store, TRUST, *TINY) == []


def test_what_is_left_still_says_what_was_live(store: MemoryStore) -> None:
    """And what is lost says nothing: a version that only it had in production counts as never live."""
    store.delete(entry(3))
    assert sign_for(store)
    found = [read_log(store, TRUST, *TINY).live_since(get_version(store, f"tiny/{n}")) for n in (1, 2, 3)]
    assert found == [NOW, NOW, NOW]  # tiny/3 is `previous`, and bob has vouched for that


@pytest.mark.parametrize("data", [b"{}", b"[", b'{"format": 3}'])
def test_a_damaged_record_is_written_again_from_the_log(store: MemoryStore, data: bytes) -> None:
    """Nothing is lost with it: the entries say where the aliases are."""
    truth = get_aliases(store, TRUST, *TINY)
    put(store, RECORD, data)
    with pytest.raises(InfrastructureError, match="--restored"):
        get_aliases(store, TRUST, *TINY)
    assert sign_for(store)
    assert get_aliases(store, TRUST, *TINY) == truth
    assert history(store, TRUST, "tiny")[-1].lost == ()


def lost(store: Store, number: int) -> None:
    """The record of a version and its entry in the index are gone."""
    content = get_version(store, f"tiny/{number}").content_digest.hex
    store.delete(f"versions/tiny/{number:06d}.json")
    store.delete(f"versions-by-content/tiny/{content}")


def altered(store: Store, number: int) -> None:
    """Other content lies under its number, as a store before had it or somebody put it there."""
    put(store, f"versions/tiny/{number:06d}.json", canonical_json(draft().numbered(number).to_json()))


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("spoil", [lost, altered])
def test_a_version_that_is_lost_is_not_signed_for(
    store: MemoryStore, spoil: Callable[[Store, int], None], number: int
) -> None:
    """Nor kept by an alias, once somebody goes on without it; what else there is goes on."""
    move(store, 1, alias=Alias.CANDIDATE)
    spoil(store, number)
    with pytest.raises(InfrastructureError, match=rf"tiny/{number} .*backup.*--restored"):
        sign_for(store, restored=False)
    assert sign_for(store)
    truth = Aliases(candidate=1, production=2, previous=3).to_json()
    expected = Aliases(**{alias: None if n == number else n for alias, n in truth.items()})
    assert get_aliases(store, TRUST, *TINY) == expected
    store.delete(RECORD)
    assert get_aliases(store, TRUST, *TINY) == expected
    assert roll_forward(store, TRUST, *TINY)
    assert check_log(store, TRUST, *TINY) == []
    assert read_links(Chain(store, TRUST, *TINY)).broken == ()
    assert not sign_for(store, restored=False)
    move(store, 2 if number == 1 else 1)
    assert check_log(store, TRUST, *TINY) == []


def test_what_was_given_up_before_stays_given_up(store: MemoryStore) -> None:
    """Also when whoever did that vouched for a version that is lost since, as production or as previous."""
    missing(store, 1)
    assert sign_for(store)
    move(store, 1)
    assert sign_for(store)
    altered(store, 2)
    assert sign_for(store)
    assert history(store, TRUST, "tiny")[-1].lost == (1, 2, 4, 5, 7)
    assert check_log(store, TRUST, *TINY) == []
    assert read_links(Chain(store, TRUST, *TINY)).broken == ()
    assert read_log(store, TRUST, *TINY).live_since(get_version(store, "tiny/2")) is None


def test_where_no_version_is_left_another_is_wanted(store: MemoryStore) -> None:
    """Nothing is signed or forgotten before; the message leads on."""
    lost(store, 2)
    before = list(store.list(""))
    with pytest.raises(InfrastructureError, match=r"tiny/2 is gone.*`headgate stage`"):
        sign_for(store)
    assert list(store.list("")) == before
    move(store, 1, alias=Alias.STAGING)
    assert sign_for(store)
    assert get_aliases(store, TRUST, *TINY) == Aliases(staging=1, previous=3)
    assert check_log(store, TRUST, *TINY) == []


def test_a_damaged_record_is_no_lost_version(store: MemoryStore) -> None:
    """Nothing is given up for it: it may be put back, or the next read may succeed."""
    put(store, "versions/tiny/000002.json", b"{")
    with pytest.raises(InfrastructureError, match=r"versions/tiny/000002\.json cannot be read"):
        sign_for(store)
