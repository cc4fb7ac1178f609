"""What every Store does, in a folder and on S3: as a dictionary would, also with other processes at it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from registry.dir_store import DirStore
from registry.home import Home
from registry.open_store import open_store
from registry.store import Store
from tests.simulators.s3_servers import BUCKET, SERVERS, s3_server

_KEYS = st.sampled_from(["a/1.json", "a/2.json", "a/b/1.json", "a-b/1", "ab", "b/c/d/e.json"])
_VALUES = st.binary(max_size=3)
_PREFIXES = st.sampled_from(["", "a", "a/", "a/b", "a/b/", "a-", "b/c/d/", "nothing/"])
_COUNT = """
import os, sys
from pathlib import Path
from registry.home import Home
from registry.open_store import open_store
store = open_store(os.environ, Home(Path("unused")))
won = 0
for _ in range(25):
    while True:
        current = store.get("count")
        if store.compare_and_swap("count", current, str(int(current or 0) + 1).encode()):
            break
    won += store.put_if_absent(f"slots/{store.get('count').decode()}", sys.argv[1].encode())
print(won)
"""


@dataclass
class Place:
    """Where stores are made for the tests; ``environment`` makes another process find the latest."""

    name: str
    folder: Path
    server: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self) -> Store:
        name = f"store-{next(self._numbers)}"
        where = f"s3://{BUCKET}/{name}" if self.server else str(self.folder / name)
        self.environment = {**os.environ, **self.server, "HEADGATE_STORE": where}
        return open_store(self.environment, Home(self.folder))


@pytest.fixture(scope="module", params=["folder", *SERVERS])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A folder, and each S3 service that is here."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "folder":
        yield Place("folder", folder)
        return
    with pytest.MonkeyPatch.context() as patch, s3_server(request.param, folder / "data") as server:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield Place(request.param, folder, server.environment)


@pytest.fixture
def store(place: Place) -> Store:
    """An empty store."""
    return place.fresh()


class StoreIsADictionary(RuleBasedStateMachine):
    """Any sequence of operations answers as a dictionary would."""

    def __init__(self, make: Callable[[], Store]) -> None:
        super().__init__()
        self.store = make()
        self.model: dict[str, bytes] = {}

    @rule(key=_KEYS, value=_VALUES)
    def put(self, key: str, value: bytes) -> None:
        assert self.store.put_if_absent(key, value) == (key not in self.model)
        self.model.setdefault(key, value)

    @rule(key=_KEYS, expected=st.none() | _VALUES, value=_VALUES)
    def swap(self, key: str, expected: bytes | None, value: bytes) -> None:
        matches = self.model.get(key) == expected
        assert self.store.compare_and_swap(key, expected, value) == matches
        if matches:
            self.model[key] = value

    @rule(key=_KEYS, value=_VALUES)
    def swap_what_is_there(self, key: str, value: bytes) -> None:
        assert self.store.compare_and_swap(key, self.model.get(key), value)
        self.model[key] = value

    @rule(key=_KEYS)
    def delete(self, key: str) -> None:
        self.store.delete(key)
        self.model.pop(key, None)

    @rule(key=_KEYS)
    def get(self, key: str) -> None:
        assert self.store.get(key) == self.model.get(key)

    @rule(prefix=_PREFIXES)
    def list(self, prefix: str) -> None:
        assert list(self.store.list(prefix)) == sorted(k for k in self.model if k.startswith(prefix))

    @invariant()
    def everything_is_listed(self) -> None:
        assert list(self.store.list("")) == sorted(self.model)


def test_a_store_is_a_dictionary(place: Place) -> None:
    """Whatever is asked in whatever order."""
    run_state_machine_as_test(
        lambda: StoreIsADictionary(place.fresh),
        settings=settings(max_examples=60 if place.name == "folder" else 12, stateful_step_count=20),
    )


def test_processes_that_swap_and_create_at_once_lose_no_write(place: Place, store: Store) -> None:
    """Three processes count to 75 together, and each number is claimed at most once."""
    if place.name == "moto":
        pytest.skip("moto compares and writes in two steps, so that two writers can win")
    command = [sys.executable, "-c", _COUNT]
    processes = [
        subprocess.Popen(
            [*command, str(i)], env=place.environment, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        for i in range(3)
    ]
    won = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert store.get("count") == b"75"
    assert sum(won) == len(list(store.list("slots/")))


def test_of_many_writers_exactly_one_wins(store: Store) -> None:
    """Whether they create a value or replace the same one."""
    for round_ in range(10):
        key, expected = f"race/{round_ // 2}", store.get(f"race/{round_ // 2}")
        writers = [f"{round_}-{writer}".encode() for writer in range(8)]
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(partial(store.compare_and_swap, key, expected), writers))
        assert won.count(True) == 1
        assert store.get(key) == writers[won.index(True)]


def test_values_are_kept_byte_for_byte(store: Store) -> None:
    """Empty ones, every byte, and what is larger than one packet."""
    for number, value in enumerate((b"", bytes(range(256)), b"\r\n" * 300_000)):
        assert store.put_if_absent(f"values/{number}", value)
        assert store.get(f"values/{number}") == value


def test_more_keys_than_fit_one_page_are_listed_in_order(store: Store) -> None:
    """S3 gives a thousand at a time."""
    keys = [f"versions/tiny/{number:06d}.json" for number in range(1, 1102)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda key: store.put_if_absent(key, b"x"), keys))
    assert list(store.list("versions/tiny/")) == keys
    assert list(store.list("versions/tiny/0011")) == keys[-2:]


def test_the_longest_key_is_taken(store: Store) -> None:
    """Also under a bucket's own prefix; a folder cannot hold it in one name."""
    key = "/".join(["k" * 200] * 4 + ["k" * 96])
    assert len(key) == 900
    assert store.put_if_absent(key, b"1")
    assert list(store.list("")) == [key]


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.tmp-1", "A", "a b", "a\\b", "a\n", "é", "a" * 901],
)
def test_a_key_that_is_no_plain_lower_case_path_is_refused(store: Store, key: str) -> None:
    """No key reaches outside the root or a name that readers skip."""
    for operation in (
        lambda: store.get(key),
        lambda: store.put_if_absent(key, b""),
        lambda: store.compare_and_swap(key, b"", b""),
        lambda: store.delete(key),
    ):
        with pytest.raises(ValueError, match="not a store key"):
            operation()


@pytest.mark.parametrize("prefix", ["/", "../", ".", "a//", "A"])
def test_a_prefix_no_key_can_have_is_refused(store: Store, prefix: str) -> None:
    """A typo in a prefix does not look like an empty store."""
    with pytest.raises(ValueError, match="no store key begins with"):
        store.list(prefix)


def test_a_key_cannot_be_the_folder_of_another(place: Place, store: Store) -> None:
    """Where a folder cannot hold both, it says so instead of losing one."""
    store.put_if_absent("a/b", b"1")
    for key in ("a", "a/b/c"):
        if isinstance(store, DirStore) or place.name == "versitygw":
            with pytest.raises(ValueError, match="folder of another key"):
                store.put_if_absent(key, b"2")
        assert store.get(key) is None
        store.delete(key)
    assert store.get("a/b") == b"1"
