"""Aliases: moves that are one step, can be repeated, and only reach published versions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.alias import Aliases, get_aliases, move_candidate, promote
from registry.dir_store import DirStore
from registry.errors import InfrastructureError, UsageError
from registry.publish import publish
from tests.simulators.records import digest, draft


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> DirStore:
    """A store with three versions, whose aliases tests may move."""
    store = DirStore(tmp_path_factory.mktemp("store"))
    for index in range(3):
        publish(store, draft(image=digest(str(index))))
    return store


@pytest.fixture
def store(published: DirStore) -> DirStore:
    """The same store without aliases."""
    published.delete("aliases/tiny/cpu.json")
    return published


def test_before_the_first_release_there_are_no_aliases(store: DirStore) -> None:
    """An empty answer, not an error."""
    assert get_aliases(store, "tiny", "cpu") == Aliases()


def test_promoting_remembers_what_was_live(store: DirStore) -> None:
    """Production and previous move together; the candidate stays."""
    move_candidate(store, "tiny", "cpu", 2)
    promote(store, "tiny", "cpu", 1)
    assert promote(store, "tiny", "cpu", 2) == Aliases(candidate=2, production=2, previous=1)
    assert get_aliases(store, "tiny", "cpu") == Aliases(2, 2, 1)


def test_promoting_again_after_a_crash_keeps_previous(store: DirStore) -> None:
    """A repeated promotion does not make production its own predecessor."""
    promote(store, "tiny", "cpu", 1)
    promote(store, "tiny", "cpu", 2)
    assert promote(store, "tiny", "cpu", 2).previous == 1


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=6))
def test_going_back_is_promoting_previous(published: DirStore, numbers: list[int]) -> None:
    """From any history, promoting previous makes live again what was live before."""
    published.delete("aliases/tiny/cpu.json")
    history = [promote(published, "tiny", "cpu", number) for number in numbers]
    last = history[-1]
    if last.previous is not None:
        assert promote(published, "tiny", "cpu", last.previous) == Aliases(
            None, last.previous, last.production
        )


def test_racing_moves_are_all_kept(store: DirStore) -> None:
    """A candidate moved during a promotion is not lost, nor is the promotion."""
    moves = [lambda: promote(store, "tiny", "cpu", 1), lambda: move_candidate(store, "tiny", "cpu", 3)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda move: move(), moves * 5))
    assert get_aliases(store, "tiny", "cpu") == Aliases(candidate=3, production=1)


def test_an_alias_cannot_point_at_what_is_not_published(store: DirStore) -> None:
    """Nor at a version that was judged on other hardware."""
    with pytest.raises(UsageError, match="no version tiny/9"):
        promote(store, "tiny", "cpu", 9)
    with pytest.raises(UsageError, match="not for the GPU class h100"):
        move_candidate(store, "tiny", "h100", 1)
    assert get_aliases(store, "tiny", "cpu") == Aliases()


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"staging": 1}'])
def test_a_damaged_alias_record_is_named(store: DirStore, damage: bytes) -> None:
    """Guessing what is live would be worse than stopping."""
    store.put_if_absent("aliases/tiny/cpu.json", damage)
    with pytest.raises(InfrastructureError, match=r"aliases/tiny/cpu\.json"):
        get_aliases(store, "tiny", "cpu")
