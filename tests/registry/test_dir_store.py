"""What is particular to a Store in a folder: files of others, refusals of the file system, dead writers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from registry.dir_store import DirStore
from registry.errors import InfrastructureError

_WRITER = """
import os, sys
from pathlib import Path
from registry.dir_store import DirStore
store = DirStore(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    current = store.get("count")
    store.compare_and_swap("count", current, os.urandom(90_000))
    store.put_if_absent("slots/" + os.urandom(8).hex(), b"x")
"""


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


def test_a_writer_that_was_killed_leaves_whole_values_and_no_lock(tmp_path: Path) -> None:
    """Also when it died inside a swap: the next one neither waits nor reads half a value."""
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout
        writer.stdout.readline()
        time.sleep(random.random() * 0.05)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    store = DirStore(tmp_path)
    assert len(store.get("count") or bytes(90_000)) == 90_000
    assert store.compare_and_swap("count", store.get("count"), b"1")
    assert not [key for key in store.list("") if key.startswith(".")]


def test_a_link_whose_answer_was_lost_is_not_taken_for_defeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system may link, lose the answer, and refuse its own repetition."""
    real = os.link

    def link(source: Path, target: Path) -> None:
        real(source, target)
        raise FileExistsError(target)

    monkeypatch.setattr(os, "link", link)
    store = DirStore(tmp_path)
    assert store.put_if_absent("a/b", b"mine")
    assert not store.put_if_absent("a/b", b"other")
    assert store.get("a/b") == b"mine"
