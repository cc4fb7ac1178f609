"""Publishing: one version per content, one content per number, whoever races or dies."""

from __future__ import annotations

import contextlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.dir_store import DirStore
from registry.errors import InfrastructureError, Refused, UsageError
from registry.numbers import lost_numbers
from registry.publish import (
    RecordGone,
    get_version,
    list_versions,
    publish,
    put_version,
    repair_index,
)
from tests.simulators.crashing_store import CountingStore, CrashingStore, Died, InterleavedStore
from tests.simulators.records import digest, draft


@pytest.fixture
def store(tmp_path: Path) -> DirStore:
    """An empty store."""
    return DirStore(tmp_path)


def test_versions_are_numbered_from_one_per_name(store: DirStore) -> None:
    """Each name counts for itself."""
    drafts = [draft("a"), draft("a", image=digest("2")), draft("b")]
    assert [publish(store, d).reference for d in drafts] == ["a/1", "a/2", "b/1"]


def test_the_same_content_again_is_the_same_version(store: DirStore) -> None:
    """Also when something else went live in between, and nothing is written."""
    first = publish(store, draft())
    publish(store, draft(image=digest("2")))
    before = list(store.list(""))
    assert publish(store, draft(parent="tiny/2")) == first
    assert list(store.list("")) == before


def test_a_record_that_lost_its_index_is_found(store: DirStore) -> None:
    """Older publishers wrote the record first, and may have died before the index and without a hint."""
    first = publish(store, draft(source_set=None))
    for key in ("versions-by-content/", "versions-newest/"):
        store.delete(next(store.list(key)))
    assert publish(store, draft()) == first
    assert len(list_versions(store)) == 1


def test_a_publisher_that_died_after_its_claim_is_continued(store: DirStore) -> None:
    """The claim it left is kept, or moved where other content took the number meanwhile."""
    for name in ("taken", "free"):
        claim = draft(name)
        store.put_if_absent(f"versions-by-content/{name}/{claim.content_digest.hex}", b"1")
    publish(store, draft("taken", image=digest("other")))
    assert publish(store, draft("taken")).number == 2
    assert publish(store, draft("free")).number == 1


def test_the_number_of_a_removed_version_is_not_given_again(store: DirStore) -> None:
    """A reference means one thing for ever."""
    for index in range(3):
        publish(store, draft(image=digest(str(index))))
    store.delete("versions/tiny/000002.json")
    assert publish(store, draft(image=digest("new"))).number == 4


def test_the_number_of_the_newest_version_is_not_given_again_either(store: DirStore) -> None:
    """Nor is the content that it had: published again, it has its number again."""
    for index in range(3):
        publish(store, draft(image=digest(str(index))))
    store.delete("versions/tiny/000003.json")
    assert publish(store, draft(image=digest("new"))).number == 4
    assert publish(store, draft(image=digest("2"))).number == 3


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_removed_version_is_told_from_one_that_never_was(store: DirStore, number: int) -> None:
    """Its number is known; one that was mistyped, or lies between imports, is not."""
    for index in range(3):
        publish(store, draft(image=digest(str(index))))
    put_version(store, draft(image=digest("imported")).numbered(7))
    store.delete(f"versions/tiny/00000{number}.json")
    with pytest.raises(RecordGone, match=rf"record of tiny/{number} is gone .* Next: restore"):
        get_version(store, f"tiny/{number}")
    assert lost_numbers(store, "tiny") == [number]
    for never in ("tiny/5", "tiny/8", "other/1"):
        with pytest.raises(UsageError, match=f"There is no version {never}"):
            get_version(store, never)


def test_a_claim_whose_publisher_died_is_no_removed_version(store: DirStore) -> None:
    """Nothing shows that there was a record."""
    publish(store, draft())
    store.put_if_absent(f"versions-by-content/tiny/{digest('claimed').hex}", b"2")
    assert lost_numbers(store, "tiny") == []
    with pytest.raises(UsageError, match="There is no version tiny/2"):
        get_version(store, "tiny/2")


def test_a_mistyped_number_costs_a_few_reads(store: DirStore) -> None:
    """However many versions there are."""
    for index in range(30):
        publish(store, draft(image=digest(str(index))))
    counted = CountingStore(store)
    with pytest.raises(UsageError):
        get_version(counted, "tiny/300")
    assert counted.calls <= 3


def test_a_damaged_index_entry_is_named_and_repaired(store: DirStore) -> None:
    """It is not guessed at: a wrong guess would be a second version of the same content."""
    first = publish(store, draft())
    publish(store, draft(image=digest("2")))
    index = f"versions-by-content/tiny/{draft().content_digest.hex}"
    for damage in (b"", b"garbage", b"0", b"1000000", b"1" * 5000):
        store.compare_and_swap(index, store.get(index), damage)
        with pytest.raises(InfrastructureError, match=rf"{index} is damaged.* Next: `headgate reconcile`"):
            publish(store, draft())
        assert repair_index(store, "tiny") == [index]
        assert publish(store, draft()) == first
    assert repair_index(store, "tiny") == []


def test_many_publishers_of_few_contents_make_few_versions(store: DirStore) -> None:
    """Numbers are dense and no content has two of them."""
    drafts = [draft(image=digest(str(index % 4))) for index in range(24)]
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda d: publish(store, d), drafts))
    assert {version.number for version in published} == {1, 2, 3, 4}
    assert len({(version.image, version.number) for version in published}) == 4


def test_versions_are_listed_in_the_order_of_their_numbers(store: DirStore) -> None:
    """Ten comes after nine, and names do not mix."""
    for index in range(11):
        publish(store, draft(image=digest(str(index))))
    publish(store, draft("tiny-2"))
    assert [v.number for v in list_versions(store, "tiny")] == list(range(1, 12))
    assert [v.name for v in list_versions(store)] == ["tiny"] * 11 + ["tiny-2"]


def test_what_cannot_be_a_name_is_the_users_mistake(store: DirStore) -> None:
    """One sentence and a next step, in place of a traceback."""
    with pytest.raises(UsageError, match=r"not a name .*'Tiny'.* Next: "):
        list_versions(store, "Tiny")


def test_an_unknown_version_names_the_known_ones(store: DirStore) -> None:
    """The message is enough to type the right command."""
    publish(store, draft())
    with pytest.raises(UsageError, match=r"no version tiny/9.*tiny/1"):
        get_version(store, "tiny/9")
    with pytest.raises(UsageError, match="NAME/NUMBER"):
        get_version(store, "tiny")
    assert get_version(store, "tiny/1").number == 1


def test_what_is_already_published_costs_two_reads_and_what_is_new_a_handful(store: DirStore) -> None:
    """However many versions there are: an object store charges and waits per request."""
    for index in range(30):
        publish(store, draft(image=digest(str(index))))
    counted = CountingStore(store)
    publish(counted, draft(image=digest("3")))
    assert counted.calls == 2
    publish(counted, draft(image=digest("new")))
    assert counted.calls <= 2 + 11
    assert counted.listed == 0


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format":1}', b'{"format":9}', b"[" * 9999])
def test_a_damaged_record_is_named(store: DirStore, damage: bytes) -> None:
    """A record that cannot be read stops everything that would build on it."""
    publish(store, draft())
    key = next(store.list("versions/"))
    store.compare_and_swap(key, store.get(key), damage)
    with pytest.raises(InfrastructureError, match=r"versions/tiny/000001\.json"):
        get_version(store, "tiny/1")


def test_a_record_moved_or_rewritten_by_hand_is_named(store: DirStore) -> None:
    """A record is what was written under that number, byte for byte."""
    publish(store, draft())
    record = store.get("versions/tiny/000001.json") or b""
    store.put_if_absent("versions/tiny/000002.json", record)
    with pytest.raises(InfrastructureError, match=r"000002\.json.*record of tiny/1"):
        get_version(store, "tiny/2")
    store.compare_and_swap("versions/tiny/000001.json", record, record + b"\n")
    with pytest.raises(InfrastructureError, match=r"000001\.json.*not those it was written with"):
        get_version(store, "tiny/1")


def test_a_version_from_elsewhere_keeps_its_number(store: DirStore) -> None:
    """Import again is a no-op, and what is published next does not take a number below it."""
    version = draft(parent="tiny/3").numbered(4)
    assert put_version(store, version) == version
    assert put_version(store, version) == version
    counted = CountingStore(store)
    assert put_version(counted, draft(parent=None).numbered(4)) == version
    assert counted.calls == 2  # reads
    assert publish(store, draft()) == version
    assert publish(store, draft(image=digest("2"))).number == 5


def test_a_number_with_other_content_is_refused_with_both_digests(store: DirStore) -> None:
    """Nothing is written: the reference goes on meaning what it meant."""
    kept = publish(store, draft())
    before = list(store.list(""))
    other = draft(image=digest("2")).numbered(1)
    with pytest.raises(Refused, match=rf"{other.record_digest}.*tiny/1 is other.*{kept.record_digest}"):
        put_version(store, other)
    assert list(store.list("")) == before


def test_content_with_another_number_is_refused(store: DirStore) -> None:
    """One content has one version, also when it comes from elsewhere or is still being published."""
    kept = publish(store, draft())
    with pytest.raises(Refused, match=rf"the same content is tiny/1 here.*{kept.record_digest}"):
        put_version(store, draft().numbered(2))
    unfinished = draft(image=digest("2"))
    store.put_if_absent(f"versions-by-content/tiny/{unfinished.content_digest.hex}", b"2")
    with pytest.raises(Refused, match="being published as tiny/2"):
        put_version(store, unfinished.numbered(3))
    assert put_version(store, unfinished.numbered(2)).number == 2


def test_a_claim_that_lost_its_number_does_not_hold_an_import_up(store: DirStore) -> None:
    """A publisher died after its claim, and other content has the number since."""
    store.put_if_absent(f"versions-by-content/tiny/{draft().content_digest.hex}", b"1")
    publish(store, draft(image=digest("other")))
    assert put_version(store, draft().numbered(4)).number == 4
    assert publish(store, draft()).number == 4


_STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 14), st.booleans()), max_size=12)


@settings(max_examples=150)
@given(_STEPS)
def test_publishers_that_die_anywhere_leave_one_version_per_content(
    steps: list[tuple[int, int, bool]],
) -> None:
    """Each publisher dies before or after one of its operations; the last ones finish the work."""
    with tempfile.TemporaryDirectory() as folder:
        store = DirStore(Path(folder))
        for content, operation, after in steps:
            with contextlib.suppress(Died):
                publish(CrashingStore(store, operation, after), draft(image=digest(str(content))))
        _each_content_has_one_version(store)


@settings(max_examples=150)
@given(st.integers(0, 3), st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=6))
def test_publishers_that_come_between_leave_one_version_per_content(
    content: int, others: list[tuple[int, int]]
) -> None:
    """Between any two operations of a publisher others run: all of them agree in the end."""
    with tempfile.TemporaryDirectory() as folder:
        store = DirStore(Path(folder))

        def run_between(operation: int) -> None:
            for when, other in others:
                if when == operation:
                    publish(store, draft(image=digest(str(other))))

        mine = publish(InterleavedStore(store, run_between), draft(image=digest(str(content))))
        assert get_version(store, mine.reference) == mine
        _each_content_has_one_version(store)


def _each_content_has_one_version(store: DirStore) -> None:
    final = [publish(store, draft(image=digest(str(content)))) for content in range(4)]
    assert [v.number for v in list_versions(store)] == [1, 2, 3, 4]
    assert {v.number for v in final} == {1, 2, 3, 4}
    assert repair_index(store, "tiny") == []
