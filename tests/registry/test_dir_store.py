"""DirStore against a dictionary, against other processes, and against bad keys."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from registry.dir_store import DirStore
from registry.errors import InfrastructureError

_KEYS = st.sampled_from(["a/1.json", "a/2.json", "a/b/1.json", "a-b/1", "ab", "b/c/d/e.json"])
_VALUES = st.binary(max_size=3)
_INCREMENT = """
import sys
from pathlib import Path
from registry.dir_store import DirStore
store = DirStore(Path(sys.argv[1]))
won = 0
for _ in range(25):
    while True:
        current = store.get("count")
        if store.compare_and_swap("count", current, str(int(current or 0) + 1).encode()):
            break
    won += store.put_if_absent(f"slots/{store.get('count').decode()}", sys.argv[2].encode())
print(won)
"""


class DirStoreIsADictionary(RuleBasedStateMachine):
    """Any sequence of operations answers as a dictionary would."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.store = DirStore(self.root)
        self.model: dict[str, bytes] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.root)

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

    @rule(prefix=st.sampled_from(["", "a", "a/", "a/b", "a/b/", "a-", "b/c/d/", "nothing/"]))
    def list(self, prefix: str) -> None:
        assert list(self.store.list(prefix)) == sorted(k for k in self.model if k.startswith(prefix))

    @invariant()
    def everything_is_listed(self) -> None:
        assert list(self.store.list("")) == sorted(self.model)


TestDirStoreIsADictionary = DirStoreIsADictionary.TestCase
TestDirStoreIsADictionary.settings = settings(
    max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_processes_that_swap_and_create_at_once_lose_no_write(tmp_path: Path) -> None:
    """Three processes count to 75 together, and each number is claimed at most once."""
    command = [sys.executable, "-c", _INCREMENT, str(tmp_path)]
    processes = [
        subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        for i in range(3)
    ]
    won = [int(process.communicate(timeout=30)[0]) for process in processes]
    store = DirStore(tmp_path)
    assert store.get("count") == b"75"
    assert sum(won) == len(list(store.list("slots/")))


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.tmp-1", "A", "a b", "a\\b", "a\n", "é", "a" * 901],
)
def test_a_key_that_is_no_plain_lower_case_path_is_refused(tmp_path: Path, key: str) -> None:
    """No key reaches outside the root or a name that readers skip."""
    store = DirStore(tmp_path)
    for operation in (
        lambda: store.get(key),
        lambda: store.put_if_absent(key, b""),
        lambda: store.compare_and_swap(key, b"", b""),
        lambda: store.delete(key),
    ):
        with pytest.raises(ValueError, match="not a store key"):
            operation()


@pytest.mark.parametrize("prefix", ["/", "../", ".", "a//", "A"])
def test_a_prefix_no_key_can_have_is_refused(tmp_path: Path, prefix: str) -> None:
    """A typo in a prefix does not look like an empty store."""
    with pytest.raises(ValueError, match="no store key begins with"):
        DirStore(tmp_path).list(prefix)


def test_a_key_cannot_be_the_folder_of_another(tmp_path: Path) -> None:
    """Where a folder cannot hold both, it says so instead of losing one."""
    store = DirStore(tmp_path)
    store.put_if_absent("a/b", b"1")
    for key in ("a", "a/b/c"):
        with pytest.raises(ValueError, match="folder of another key"):
            store.put_if_absent(key, b"2")
        assert store.get(key) is None


def test_files_that_are_not_ours_are_not_listed(tmp_path: Path) -> None:
    """Left-overs of dead writers and notes of people are no keys."""
    store = DirStore(tmp_path)
    store.put_if_absent("a/b", b"1")
    store.delete("a/nothing")
    for name in (".tmp-1-dead", "README.md", "a/.tmp-2-dead", "a/With Space"):
        (tmp_path / name).write_bytes(b"x")
    assert list(store.list("")) == ["a/b"]


def test_what_cannot_be_read_is_said_and_never_taken_for_absent(tmp_path: Path) -> None:
    """A loop of links stands for every refusal of the file system; root may read all else."""
    store = DirStore(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InfrastructureError, match=r"Cannot read .*/loop.* Next: "):
        store.get("loop")
    with pytest.raises(InfrastructureError, match=r"Cannot read .*/loop.* Next: "):
        list(store.list("loop/"))
