"""Publishing: one version per content, one content per number, whoever races or dies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry.dir_store import DirStore
from registry.errors import InfrastructureError, UsageError
from registry.publish import get_version, list_versions, publish
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


def test_a_publisher_that_died_before_the_index_is_found(store: DirStore) -> None:
    """A record without its index entry is neither lost nor published twice."""
    first = publish(store, draft())
    store.delete(next(store.list("versions-by-content/")))
    assert publish(store, draft()) == first
    assert len(list_versions(store)) == 1
    assert len(list(store.list("versions-by-content/"))) == 1


def test_the_number_of_a_removed_version_is_not_given_again(store: DirStore) -> None:
    """A reference means one thing for ever."""
    for index in range(3):
        publish(store, draft(image=digest(str(index))))
    store.delete("versions/tiny/000002.json")
    assert publish(store, draft(image=digest("new"))).number == 4


@pytest.mark.parametrize("content", [b"7", b"2", b"garbage"])
def test_an_index_entry_that_lies_is_not_believed(store: DirStore, content: bytes) -> None:
    """The record decides, not the short cut to it."""
    first = publish(store, draft())
    publish(store, draft(image=digest("2")))
    index = f"versions-by-content/tiny/{draft().content_digest.hex}"
    store.delete(index)
    store.put_if_absent(index, content)
    assert publish(store, draft()) == first


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


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format":1}', b'{"format":9}'])
def test_a_damaged_record_is_named(store: DirStore, damage: bytes) -> None:
    """A record that cannot be read stops everything that would build on it."""
    publish(store, draft())
    key = next(store.list("versions/"))
    store.compare_and_swap(key, store.get(key), damage)
    with pytest.raises(InfrastructureError, match=r"versions/tiny/000001\.json"):
        get_version(store, "tiny/1")
