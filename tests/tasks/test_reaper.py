"""The reaper: orphans of dead runs end, everything else stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.home import Home
from tasks.process_table import ProcessEntry, lineage, process
from tasks.reaper import reap_orphans
from tasks.run import open_run

# A run whose child starts a grandchild outside its group; prints both ids.
RUN = """
import sys
from pathlib import Path
from registry.home import Home
from tasks.process import run_process
from tasks.run import open_run
child = '''
import os, subprocess, time
print(os.getpid(), subprocess.Popen(["sleep", "60"], start_new_session=True).pid, flush=True)
time.sleep(60)
'''
with open_run(Home(Path(sys.argv[1])), "r-1"):
    run_process([sys.executable, "-c", child], log=lambda line: print(line, flush=True), timeout=60)
"""

REAP = """
import sys
from pathlib import Path
from registry.home import Home
from tasks.reaper import reap_orphans
print(reap_orphans(Home(Path(sys.argv[1]))))
"""


@contextmanager
def marked(run_id: str, home: Path, *command: str) -> Iterator[ProcessEntry]:
    """A process with these marks; ended at the end if nobody did."""
    env = {**os.environ, "HEADGATE_RUN_ID": run_id, "HEADGATE_HOME": str(home)}
    with subprocess.Popen(command or ("sleep", "60"), env=env, start_new_session=True) as child:
        entry = process(child.pid)
        assert entry
        yield entry
        child.kill()


def ended(pid: int) -> bool:
    """Whether the process is gone, or only its exit status is left."""
    return process(pid) is None


def test_kill_9_of_a_run_and_the_next_one_reaps_child_and_grandchild(tmp_path: Path) -> None:
    """Also the grandchild that left the group; while the run lives, nobody touches them."""
    with subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE) as run:
        assert run.stdout
        child, grandchild = map(int, run.stdout.readline().split())
        assert reap_orphans(Home(tmp_path)) == ()
        run.send_signal(signal.SIGKILL)
    assert process(grandchild)
    reaped = reap_orphans(Home(tmp_path), grace=2)
    assert {orphan.pid for orphan in reaped} >= {grandchild}
    assert {orphan.run_id for orphan in reaped} == {"r-1"}
    assert ended(child)
    assert ended(grandchild)


def test_only_both_marks_together_count(tmp_path: Path) -> None:
    """Another home's orphan, a fleet's daemon and an unmarked process stay."""
    other_home, fleet = tmp_path / "other", "fleet-tiny"
    with (
        marked("r-1", tmp_path) as orphan,
        marked("r-1", other_home) as of_another_home,
        marked(fleet, tmp_path) as daemon,
        marked("", tmp_path) as unmarked,
    ):
        assert [found.pid for found in reap_orphans(Home(tmp_path))] == [orphan.pid]
        assert ended(orphan.pid)
        for survivor in (of_another_home, daemon, unmarked):
            assert process(survivor.pid) == survivor


def test_children_of_a_live_run_stay(tmp_path: Path) -> None:
    """Two runs may share a home."""
    with open_run(Home(tmp_path), "r-2"), marked("r-2", tmp_path) as child:
        assert reap_orphans(Home(tmp_path)) == ()
        assert process(child.pid) == child


def test_a_home_behind_a_link_is_the_same_home(tmp_path: Path) -> None:
    """Homes are compared by where they are, not by how they were written."""
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    with marked("r-1", tmp_path / "link") as orphan:
        assert len(reap_orphans(Home(tmp_path / "home"))) == 1
        assert ended(orphan.pid)


def test_an_orphan_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    """After the grace."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    with marked("r-1", tmp_path, sys.executable, "-c", code) as orphan:
        time.sleep(0.2)
        reap_orphans(Home(tmp_path), grace=0.3)
        assert ended(orphan.pid)


def test_the_reaper_spares_itself_and_its_ancestors(tmp_path: Path) -> None:
    """A command started by a child of a run that died since goes on: it is what cleans up."""
    env = {**os.environ, "HEADGATE_RUN_ID": "r-1", "HEADGATE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", REAP, str(tmp_path)], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "()\n"
    assert os.getpid() in lineage(os.getpid())


def test_a_process_with_the_same_id_but_another_start_is_left_alone() -> None:
    """Ids are used again; the start time tells who is meant."""
    with marked("x", Path("/")) as entry:
        impostor = ProcessEntry(entry.pid, entry.parent, entry.group, entry.started - 1)
        impostor.send(signal.SIGKILL)
        assert impostor.wait(0)
        assert process(entry.pid) == entry
        entry.send(signal.SIGKILL)
        assert entry.wait(3)
