"""What runs on this machine, read from /proc, and ending exactly what was read there.

A process is named by its id and start time together: an id alone may belong to another process by
the time a signal is sent. Which processes should end is decided by the callers.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")

AFTER_KILL = 5.0
"""Seconds; only a process stuck in the kernel outlives SIGKILL longer."""


@dataclass(frozen=True)
class ProcessEntry:
    """One live process. ``started`` is in clock ticks since boot, as /proc/<pid>/stat has it."""

    pid: int
    parent: int
    group: int
    started: int

    def environment(self) -> dict[str, str]:
        """The environment it was started with; empty when it is gone or another user's."""
        try:
            raw = (_PROC / str(self.pid) / "environ").read_bytes()
        except OSError:
            return {}
        pairs = (item.partition("=") for item in raw.decode(errors="replace").split("\0") if "=" in item)
        return {name: value for name, _, value in pairs}

    def command(self) -> str:
        """Its command line, for people; empty when it is gone."""
        try:
            raw = (_PROC / str(self.pid) / "cmdline").read_bytes()
        except OSError:
            return ""
        return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")

    def send(self, signal_number: signal.Signals) -> None:
        """Signal this very process; nothing happens when it is gone or not ours."""
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return
        try:
            # The handle pins whoever has the id now; only then is it compared with who had it before.
            if process(self.pid) == self:
                signal.pidfd_send_signal(handle, signal_number)
        except OSError:
            return
        finally:
            os.close(handle)

    def wait(self, timeout: float) -> bool:
        """Whether it ended within ``timeout`` seconds."""
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return True
        try:
            poller = select.poll()
            poller.register(handle, select.POLLIN)
            return process(self.pid) != self or bool(poller.poll(max(0.0, timeout) * 1000))
        finally:
            os.close(handle)


def process(pid: int) -> ProcessEntry | None:
    """The process with this id; None when there is none, or only its exit status is left."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name is in brackets and may itself hold spaces and brackets; fields are fixed after the last one.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return ProcessEntry(pid, parent=int(fields[1]), group=int(fields[2]), started=int(fields[19]))


def processes() -> Iterator[ProcessEntry]:
    """Every live process."""
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and (entry := process(int(folder.name))):
            yield entry


def group_is_alive(group: int) -> bool:
    """Whether any process of this group still runs."""
    return any(entry.group == group for entry in processes())


def end_group(group: int, grace: float) -> None:
    """End all members, by SIGTERM and after ``grace`` seconds by SIGKILL.

    Its leader must not have been collected: until then the group's id cannot be anyone else's.
    """
    try:
        if _signal_group(group, signal.SIGTERM):
            _await_group_end(group, grace)
    finally:  # also on a second Ctrl-C
        if _signal_group(group, signal.SIGKILL):
            _await_group_end(group, AFTER_KILL)


def _signal_group(group: int, number: signal.Signals) -> bool:
    """Signal all live members; whether there were any."""
    if not group_is_alive(group):
        return False
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    return True


def _await_group_end(group: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while group_is_alive(group) and time.monotonic() < deadline:
        time.sleep(0.05)


def group_members(group: int) -> list[int]:
    """The ids of the live processes of this group."""
    return [entry.pid for entry in processes() if entry.group == group]


def held_memory(pids: Iterable[int]) -> int:
    """Bytes of memory that these processes hold now, what they share counted once."""
    return sum(map(_proportional, pids))


def _proportional(pid: int) -> int:
    try:
        rows = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0  # it ended meanwhile
    return sum(int(row.split()[1]) << 10 for row in rows if row.startswith("Pss:"))


def lineage(pid: int) -> set[int]:
    """This process and all its ancestors."""
    found: set[int] = set()
    while pid not in found and (entry := process(pid)):
        found.add(pid)
        pid = entry.parent
    return found
