"""Runs: their folder, their lock, and who counts as alive."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from registry.errors import UsageError
from registry.home import Home
from tasks.run import current_run, is_alive, open_run

HOLD = """
import sys, time
from pathlib import Path
from registry.home import Home
from tasks.run import open_run
with open_run(Home(Path(sys.argv[1])), sys.argv[2]):
    print("open", flush=True)
    time.sleep(60)
"""


def test_a_run_is_alive_while_it_is_open(tmp_path: Path) -> None:
    """And only then; its folder stays for the logs."""
    home = Home(tmp_path)
    assert not is_alive(home, "r-1")
    with open_run(home, "r-1") as run:
        assert is_alive(home, "r-1")
        assert run.log_file("fetch").parent == home.runs / "r-1"
        assert current_run() == run
    assert current_run() is None
    assert not is_alive(home, "r-1")
    assert run.directory.is_dir()


def test_runs_nest(tmp_path: Path) -> None:
    """A release that promotes opens a run inside its own."""
    with open_run(Home(tmp_path), "outer") as outer:
        with open_run(Home(tmp_path), "inner") as inner:
            assert current_run() == inner
        assert current_run() == outer


def test_a_killed_run_is_dead_and_may_be_opened_again(tmp_path: Path) -> None:
    """The kernel drops the lock of a process that had no time to."""
    command = [sys.executable, "-c", HOLD, str(tmp_path), "r-1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"open\n"
        assert is_alive(Home(tmp_path), "r-1")
        with pytest.raises(UsageError, match="already open"), open_run(Home(tmp_path), "r-1"):
            pass
        other.send_signal(signal.SIGKILL)
    assert not is_alive(Home(tmp_path), "r-1")
    with open_run(Home(tmp_path), "r-1"):
        assert is_alive(Home(tmp_path), "r-1")


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", ".hidden", "fleet-tiny", "a b"])
def test_malformed_ids_are_refused(tmp_path: Path, run_id: str) -> None:
    """A run id is a folder name, and the names of fleets are theirs."""
    with pytest.raises(UsageError, match="name of a run"), open_run(Home(tmp_path), run_id):
        pass
