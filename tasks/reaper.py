"""Ends what dead runs left behind: processes that carry a dead run's mark for this home.

A run ends its own children; this is for those of a run that was killed, and for children that left
their process group. Daemons of a fleet outlive runs on purpose and are left to the fleet.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from registry.home import Home
from tasks.process_table import ProcessEntry, lineage, processes
from tasks.run import FLEET_PREFIX, HOME_VARIABLE, RUN_ID_VARIABLE, is_alive

_AFTER_KILL = 5.0  # seconds; only a process stuck in the kernel outlives SIGKILL longer


@dataclass(frozen=True)
class Orphan:
    """A process whose run is dead, as it was found."""

    pid: int
    run_id: str
    command: str


def reap_orphans(home: Home, *, grace: float = 5.0) -> tuple[Orphan, ...]:
    """End all processes of this home's dead runs (SIGTERM, after ``grace`` seconds SIGKILL); returns them.

    A process is touched only when it carries both marks, this home's and a dead run's; this process
    and its ancestors never are.
    """
    found: dict[ProcessEntry, Orphan] = {}
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _AFTER_KILL)):
        # Looked for again each time: an orphan may have started another while it was being ended.
        orphans = _orphans(home)
        found.update(orphans)
        for entry in orphans:
            entry.send(number)
        deadline = time.monotonic() + patience
        for entry in orphans:
            entry.wait(deadline - time.monotonic())
    return tuple(found.values())


def _orphans(home: Home) -> dict[ProcessEntry, Orphan]:
    own = lineage(os.getpid())
    found: dict[ProcessEntry, Orphan] = {}
    alive: dict[str, bool] = {}
    for entry in processes():
        run_id = _mark(entry, home)
        if run_id is None or entry.pid in own:
            continue
        if not alive.setdefault(run_id, is_alive(home, run_id)):
            found[entry] = Orphan(entry.pid, run_id, entry.command())
    return found


def _mark(entry: ProcessEntry, home: Home) -> str | None:
    """The run of this home that the process belongs to, unless it is a fleet's."""
    environment = entry.environment()
    run_id, root = environment.get(RUN_ID_VARIABLE), environment.get(HOME_VARIABLE)
    if not run_id or not root or run_id.startswith(FLEET_PREFIX):
        return None
    return run_id if Path(root).resolve() == home.root.resolve() else None
