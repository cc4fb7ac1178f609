"""A run: one command's life, its folder of logs, and the mark its children carry.

A run is alive while its process holds the lock in its folder; the kernel drops the lock however the
process dies, so nothing has to be cleaned up after kill -9. The mark goes into the environment of
children through ``tasks.process``, never into this process's own; the reaper finds orphans by it.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from registry.atomic import cannot_write
from registry.errors import UsageError
from registry.home import Home

RUN_ID_VARIABLE = "HEADGATE_RUN_ID"
HOME_VARIABLE = "HEADGATE_HOME"
FLEET_PREFIX = "fleet-"
"""Run ids of daemons that outlive runs; their fleet looks after them."""

_LOOKS = 20
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Run:
    """One open run."""

    home: Home
    run_id: str

    @property
    def directory(self) -> Path:
        """Where its logs are."""
        return self.home.runs / self.run_id

    def log_file(self, name: str) -> Path:
        """The log file of one of its stages."""
        return self.directory / f"{name}.log"

    @property
    def marks(self) -> dict[str, str]:
        """The environment variables by which the reaper knows its children."""
        return {RUN_ID_VARIABLE: self.run_id, HOME_VARIABLE: str(self.home.root.resolve())}


_current: ContextVar[Run | None] = ContextVar("headgate_run", default=None)
# Threads started by libraries see no context variable; they belong to the run opened last.
_open: list[Run] = []


def current_run() -> Run | None:
    """The run this code works for, or None outside of any."""
    return _current.get() or (_open[-1] if _open else None)


@contextmanager
def open_run(home: Home, run_id: str) -> Iterator[Run]:
    """Make the run's folder and be that run, alive for the reaper, until the block ends.

    Raises UsageError for a malformed id, or one that another live process has.
    """
    if not _RUN_ID.fullmatch(run_id) or run_id.startswith(FLEET_PREFIX):
        raise UsageError(
            f"{run_id!r} cannot be the name of a run",
            why=f"a run id has letters, digits, '.', '_' and '-', and does not start with '{FLEET_PREFIX}'",
        )
    run = Run(home, run_id)
    try:
        run.directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise cannot_write(run.directory, problem) from problem
    with _lock_path(home, run_id).open("ab") as lock:
        _take(lock.fileno(), run)
        token = _current.set(run)
        _open.append(run)
        try:
            yield run
        finally:
            _open.remove(run)
            _current.reset(token)


def is_alive(home: Home, run_id: str) -> bool:
    """Whether a process holds this run's lock."""
    try:
        with _lock_path(home, run_id).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no such run: whoever carries its mark is nobody's
    return False


def live_runs(home: Home) -> dict[str, float]:
    """When each run that is alive now was opened, in seconds since the epoch, by its id."""
    locks = {path.parent.name: path for path in home.runs.glob("*/lock")}
    opened: dict[str, float] = {}
    for run_id in filter(partial(is_alive, home), sorted(locks)):
        with contextlib.suppress(FileNotFoundError):
            opened[run_id] = locks[run_id].stat().st_mtime  # written to by nobody since
    return opened


def _lock_path(home: Home, run_id: str) -> Path:
    return home.runs / run_id / "lock"


def _take(lock: int, run: Run) -> None:
    for _ in range(_LOOKS):  # somebody may just be asking whether it is alive
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.01)
    raise UsageError(
        f"the run {run.run_id} is already open in another process",
        next_step="wait for it, or start a run of your own",
    )
