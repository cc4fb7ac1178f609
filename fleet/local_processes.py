"""Starts, recognises and ends daemons: each a session of its own that outlives whoever started it.

A daemon is known by process id and start time, so an id reused after a reboot is never mistaken for it,
and by marks in its environment, which its children inherit. Programs that run to completion are not
started here (``tasks/process.py`` does that); which daemons should run is decided in ``fleet/reconcile.py``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.errors import InfrastructureError

_PROC = Path("/proc")
_POLL_SECONDS = 0.05
_KILL_SECONDS = 5.0
# Fields of /proc/<pid>/stat counted after the program's name: state, parent, group, session, ..., start time.
_STATE, _SESSION, _START_TIME = 0, 3, 19


@dataclass(frozen=True)
class Daemon:
    """One process for sure: its id, and when it started in clock ticks since boot."""

    pid: int
    started: int

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        fields = _stat(self.pid)
        return fields is not None and fields[_STATE] not in "ZX" and int(fields[_START_TIME]) == self.started

    def terminate(self) -> None:
        """Ask it to end. Only it is asked: how its children end is its own business."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with its whole process group."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within this time."""
        deadline = time.monotonic() + seconds
        while self.is_alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def collect_ended() -> None:
    """Take the exit codes of this process's ended children, which would stay as zombies.

    A daemon whose first thread ended counts as dead before the kernel hands out its code.
    """
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def start_daemon(argv: Sequence[str], env: Mapping[str, str], log_file: Path) -> Daemon:
    """Start a session with no input and its output appended to a file; raises InfrastructureError."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log_file), flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        pid = os.posix_spawnp(argv[0], list(argv), dict(env), file_actions=actions, setsid=True)
    except OSError as error:
        raise InfrastructureError(
            f"{argv[0]} cannot be started",
            why=error.strerror or str(error),
            next_step="check that the file exists and may be executed",
        ) from error
    fields = _stat(pid)
    return Daemon(pid, int(fields[_START_TIME]) if fields else 0)


def kill_marked(marks: Mapping[str, str], *, keep_sessions: Collection[int] = ()) -> None:
    """Kill what carries these marks outside the given sessions; it is gone on return.

    The calling process is spared. Only this user's processes can be read, so only they are found.
    """
    wanted = {f"{name}={value}".encode() for name, value in marks.items()}
    killed = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                killed += _kill_unless_kept(int(entry.name), keep_sessions)
    for daemon in killed:
        daemon.wait(_KILL_SECONDS)


def _kill_unless_kept(pid: int, keep_sessions: Collection[int]) -> list[Daemon]:
    fields = _stat(pid)
    if not fields or int(fields[_SESSION]) in keep_sessions:
        return []
    os.kill(pid, signal.SIGKILL)
    return [Daemon(pid, int(fields[_START_TIME]))]


def is_running(pid: int | None) -> bool:
    """Whether some process has this id and is no zombie."""
    fields = _stat(pid) if pid else None
    return fields is not None and fields[_STATE] not in "ZX"


def free_port(taken: Collection[int] = ()) -> int:
    """A loopback port nobody listens on now, outside ``taken``."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def port_is_taken(port: int) -> bool:
    """Whether something listens on this loopback port (connections just closed do not count)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()
