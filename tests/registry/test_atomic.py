"""Writes that are whole or not there, whatever happens to the writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.atomic import create_file, exclusive, temporary_beside, write_file
from registry.errors import InfrastructureError

_WRITER = """
import sys
from pathlib import Path
from registry.atomic import write_file
print("ready", flush=True)
while True:
    for letter in b"ab":
        write_file(Path(sys.argv[1]), bytes([letter]) * 300_000)
"""


def test_creating_a_file_twice_keeps_the_first(tmp_path: Path) -> None:
    """The second creator is told that it lost."""
    path = tmp_path / "deep" / "file"
    assert create_file(path, b"first")
    assert not create_file(path, b"second")
    assert path.read_bytes() == b"first"


def test_writing_replaces_and_leaves_no_other_file(tmp_path: Path) -> None:
    """Temporary files are gone once their content has a name."""
    for content in (b"one", b"two"):
        write_file(tmp_path / "file", content)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"two"


def test_a_failed_write_removes_its_temporary_file(tmp_path: Path) -> None:
    """Whatever goes wrong inside, no half file is left."""

    def write_half() -> None:
        with temporary_beside(tmp_path / "file") as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    """The message names the path, the reason and a next step."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InfrastructureError, match=r"Cannot write .*inner.* Next: ") as caught:
        write_file(tmp_path / "file" / "inner", b"")
    assert caught.value.exit_code == 40


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    """Readers see one content or the other, before and after kill -9, and never a mix."""
    path = tmp_path / "file"
    for delay in (0.002, 0.005, 0.011, 0.017):
        command = [sys.executable, "-c", _WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as writer:
            assert writer.stdout
            writer.stdout.readline()
            time.sleep(delay)
            os.kill(writer.pid, signal.SIGKILL)
        if path.exists():
            content = path.read_bytes()
            assert content in {b"a" * 300_000, b"b" * 300_000}


@pytest.mark.parametrize("write", [write_file, create_file])
def test_content_is_on_the_disk_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, bytes], object]
) -> None:
    """For a loss of power: the new folder, the whole file while it has no name, the folder that names it."""
    path = tmp_path / "deep" / "file"
    flushed: list[tuple[str, bytes | None]] = []

    def flush(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").resolve()
        assert not target.is_file() or target.read_bytes() == b"content"
        flushed.append((target.name.partition("-")[0], path.read_bytes() if path.exists() else None))

    monkeypatch.setattr(os, "fsync", flush)
    write(path, b"content")
    assert flushed == [(tmp_path.name.partition("-")[0], None), (".tmp", None), ("deep", b"content")]


def test_a_secret_is_nobody_elses_from_its_first_byte(tmp_path: Path) -> None:
    """Its temporary file, too, is made with the mode."""
    for write in (write_file, create_file):
        write(tmp_path / write.__name__, b"secret", mode=0o600)
        assert (tmp_path / write.__name__).stat().st_mode & 0o777 == 0o600


def test_a_lock_keeps_a_second_thread_out_until_it_is_released(tmp_path: Path) -> None:
    """Holders of one name follow each other, also inside a process."""
    order: list[str] = []

    def second() -> None:
        with exclusive(tmp_path / "lock"):
            order.append("second")

    with exclusive(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
