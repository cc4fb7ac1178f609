"""Which number comes next: none is given twice, and nothing holds publishing up for good."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from registry.alias import Alias
from registry.alias_log import move_alias
from registry.dir_store import DirStore
from registry.errors import Refused, UsageError
from registry.listing import list_with_aliases
from registry.publish import check_free, publish, put_version, read_versions
from registry.reconcile_index import IndexReconciler
from registry.trust import Trust
from registry.version import VersionDraft
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import digest, draft

_NAMES_THE_LAST = b'{"candidate":999999,"production":null,"previous":null}'


@pytest.fixture
def store(tmp_path: Path) -> DirStore:
    """An empty store."""
    return DirStore(tmp_path)


@pytest.mark.parametrize("hint", [b"", b"garbage", b"1000000", b"9" * 5000, b"1"])
def test_a_hint_that_is_too_low_or_damaged_is_only_slow(store: DirStore, hint: bytes) -> None:
    """The next number is right."""
    publish(store, draft())
    publish(store, draft(image=digest("2")))
    store.compare_and_swap("versions-newest/tiny", b"2", hint)
    assert publish(store, draft(image=digest("3"))).number == 3


def test_no_number_is_given_again_though_nothing_else_is_left_of_it(store: DirStore) -> None:
    """That it was given is known, whatever is gone: its record, and its content in the index."""
    for index in range(3):
        publish(store, draft(image=digest(str(index))))
    lose(store, draft(image=digest("2")), 3)
    assert publish(store, draft(image=digest("new"))).number == 4
    assert publish(store, draft(image=digest("2"))).number == 5


def test_no_number_that_an_alias_log_names_is_given_to_other_content(store: DirStore) -> None:
    """Only the record it had comes back under it, and released again it has the parent of then."""
    publish(store, draft())
    lost = publish(store, draft(image=digest("2"), parent="tiny/1"))
    move(store, 2)
    lose(store, draft(image=digest("2")), 2)
    store.delete("versions-newest/tiny")
    before = list(store.list(""))
    other = draft(image=digest("other")).numbered(2)
    for refuse in (check_free, put_version):
        with pytest.raises(Refused, match=rf"{other.record_digest}.*tiny/2 is other.*{lost.record_digest}"):
            refuse(store, other)
    assert list(store.list("")) == before
    assert publish(store, draft(image=digest("3"))).number == 3
    store.put_if_absent(f"versions-by-content/tiny/{draft(image=digest('4')).content_digest.hex}", b"2")
    assert publish(store, draft(image=digest("4"))).number == 4
    assert put_version(store, lost) == lost
    store.delete("versions/tiny/000002.json")
    assert publish(store, draft(image=digest("2"), parent="tiny/2")) == lost


def test_a_hint_that_was_set_back_gives_no_number_that_was_claimed_to_other_content(store: DirStore) -> None:
    """An alias was moved to it: publishing looks above it and ends, and an import under it is refused."""
    for index in range(3):
        publish(store, draft(image=digest(str(index))))
    move(store, 3)
    for index in (1, 2):
        lose(store, draft(image=digest(str(index))), index + 1)
    other = draft(image=digest("other"))
    store.compare_and_swap("versions-newest/tiny", b"3", b"1")
    store.put_if_absent(f"versions-by-content/tiny/{other.content_digest.hex}", b"3")
    with pytest.raises(Refused, match="by the alias log tiny/3 is other content"):
        put_version(store, draft(image=digest("imported")).numbered(3))
    assert publish(store, other).number == 4
    assert publish(store, draft(image=digest("new"))).number == 5


def test_an_alias_record_that_names_an_impossible_number_holds_nobody_up(store: DirStore) -> None:
    """It is not signed, and may say anything."""
    names = b'{"candidate":1000000,"production":null,"previous":null}'
    store.put_if_absent("aliases/tiny/cpu.json", names)
    assert publish(store, draft()).number == 1


@pytest.mark.parametrize("gone", ["versions-newest/tiny", "nothing"])
def test_an_alias_record_that_names_the_last_number_counts_for_nothing_beside_a_log(
    store: DirStore, gone: str
) -> None:
    """It is not signed: neither publishing nor reconciling goes by it."""
    publish(store, draft())
    move(store, 1)
    store.delete("aliases/tiny/cpu.json")
    store.put_if_absent("aliases/tiny/cpu.json", _NAMES_THE_LAST)
    store.delete(gone)
    assert reconciled(store) == []
    assert publish(store, draft(image=digest("2"))).number == 2


def test_an_alias_record_without_a_log_is_asked_where_there_is_no_hint(store: DirStore) -> None:
    """Reconciling raises no hint to what it names; and where publishing has to ask, the error names it."""
    publish(store, draft())
    store.put_if_absent("aliases/tiny/cpu.json", _NAMES_THE_LAST)
    assert reconciled(store) == []
    assert publish(store, draft(image=digest("2"))).number == 2
    store.delete("versions-newest/tiny")
    with pytest.raises(UsageError, match=r"remove versions-newest/tiny and aliases/tiny/cpu\.json from"):
        publish(store, draft(image=digest("3")))
    for key in ("aliases/tiny/cpu.json", "versions-newest/tiny"):
        store.delete(key)
    assert publish(store, draft(image=digest("3"))).number == 3


def test_a_hint_is_raised_to_a_damaged_record_that_the_index_names(store: DirStore) -> None:
    """Else the lost numbers below it are given again; one that no index names may be anybody's."""
    for index in range(4):
        publish(store, draft(image=digest(str(index))))
    for number in (3, 4):
        store.delete(f"versions/tiny/{number:06d}.json")
    for number in (4, 999_999):
        store.put_if_absent(f"versions/tiny/{number:06d}.json", b"{}")
    store.compare_and_swap("versions-newest/tiny", b"4", b"2")
    told = reconciled(store)
    assert told[0] == "versions-newest/tiny names a lower number than tiny/4, which was given"
    assert store.get("versions-newest/tiny") == b"4"
    assert publish(store, draft(image=digest("new"))).number == 5


@pytest.mark.parametrize("stray", ["_old", "backup/tiny"])
def test_a_stray_key_beside_the_hints_is_no_model(store: DirStore, stray: str) -> None:
    """Listing and reconciling go on."""
    publish(store, draft())
    store.put_if_absent(f"versions-newest/{stray}", b"1")
    assert list_with_aliases(store, Trust(())).problems == []
    assert "gone" not in " ".join(reconciled(store))


def reconciled(store: DirStore) -> list[str]:
    """What is wrong with the numbers, all of it mended that can be."""
    found = list(IndexReconciler(store, Trust(()), *read_versions(store)).problems())
    assert all(not problem.mend or problem.mend() for problem in found)
    return [problem.what for problem in found]


def test_numbers_that_are_used_up_are_told(store: DirStore) -> None:
    """With the file that says so: nobody publishes a million versions, but a hint may be anything."""
    publish(store, draft())
    store.compare_and_swap("versions-newest/tiny", b"1", b"999999")
    with pytest.raises(UsageError, match=r"numbers of tiny are used up.* remove versions-newest/tiny from"):
        publish(store, draft(image=digest("2")))
    store.delete("versions-newest/tiny")
    assert publish(store, draft(image=digest("2"))).number == 2


def test_a_moved_alias_makes_its_number_known(store: DirStore) -> None:
    """Also where its publisher died before it could."""
    publish(store, draft())
    store.delete("versions-newest/tiny")
    move(store, 1)
    assert store.get("versions-newest/tiny") == b"1"


def move(store: DirStore, number: int) -> None:
    facts: dict[str, Any] = {"name": "tiny", "gpu_class": "cpu", "who": "ann", "why": "it passed"}
    at = datetime(2026, 11, 21, tzinfo=UTC)
    move_alias(store, *signer_and_trust(), alias=Alias.PRODUCTION, number=number, at=at, **facts)


def lose(store: DirStore, made: VersionDraft, number: int) -> None:
    """Nothing is left of a version but that there was one."""
    store.delete(f"versions/tiny/{number:06d}.json")
    store.delete(f"versions-by-content/tiny/{made.content_digest.hex}")
