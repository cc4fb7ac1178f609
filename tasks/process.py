"""The one place that starts children: a command that runs to its end, or a server for the length of a block.

Each child leads a session and a group of its own, so the terminal's Ctrl-C does not reach it: it is
ended here, with its whole group, on a timeout and on any exception. What left the group, or outlives
a kill -9 of this process, carries the run's mark and is left to ``tasks.reaper``. Argument lists are
built elsewhere, by pure code.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TextIO

from registry.errors import InfrastructureError, TimedOut
from tasks.child_output import ChildOutput
from tasks.interrupts import uninterrupted
from tasks.process_table import AFTER_KILL, end_group
from tasks.run import current_run

_POLL = 0.2  # seconds; how late an exception raised from another thread may be noticed


class ProcessFailed(InfrastructureError):
    """A command could not be started (``returncode`` None) or ended badly (negative: by that signal)."""

    def __init__(
        self, what: str, *, why: str = "", next_step: str = "", returncode: int | None = None
    ) -> None:
        super().__init__(what, why=why, next_step=next_step)
        self.returncode = returncode

    def __reduce__(self) -> tuple[object, ...]:
        rebuild = partial(ProcessFailed, why=self.why, next_step=self.next_step, returncode=self.returncode)
        return rebuild, (self.what,)


def run_process(
    argv: Sequence[str],
    *,
    log: Callable[[str], None],
    timeout: float,
    log_file: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace: float = 10.0,
) -> None:
    """Run a command to its end, each line of its output given to ``log`` and appended to ``log_file``.

    ``env`` replaces the whole environment (None: this process's own); the run's mark is added.
    ``timeout`` and ``grace`` (from SIGTERM to SIGKILL) are in seconds. Raises ProcessFailed, or
    TimedOut; whatever is raised, no process of the child's group is left.
    """
    environment = child_environment(env)
    with _appending(log_file) as file:
        output = ChildOutput(environment, log, file)
        with _running(argv, environment, cwd, output, grace) as child:
            in_time = _follow(child, output, time.monotonic() + timeout)
    if not in_time:
        raise TimedOut(
            f"`{output.command(argv)}` did not end within {timeout:g} s",
            why=output.last_lines(),
            next_step=_where(log_file),
        )
    if child.returncode:
        raise _failure(argv, child.returncode, output, log_file)


class BackgroundProcess:
    """A server that runs while its block does."""

    def __init__(self, child: subprocess.Popen[bytes], output: ChildOutput, grace: float) -> None:
        self._child, self._output, self._grace = child, output, grace

    @property
    def pid(self) -> int:
        """Its process id, which is also its group's and session's."""
        return self._child.pid

    def poll(self) -> int | None:
        """Its exit code (negative: the signal that ended it), or None while it runs."""
        # Looked at without collecting it: until then nobody else can get the group's id.
        status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if status is None:
            return None
        return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status

    def tail(self) -> tuple[str, ...]:
        """The last lines it wrote, without secrets."""
        return tuple(self._output.tail)

    def end(self) -> None:
        """Its whole group is gone afterwards; what ``poll`` says stays."""
        end_group(self.pid, self._grace)


@contextmanager
def background_process(
    argv: Sequence[str],
    *,
    log_file: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace: float = 10.0,
) -> Iterator[BackgroundProcess]:
    """Run a server for the length of the block, its output in ``log_file``; its whole group ends with it.

    ``env``, ``cwd`` and ``grace`` are as for ``run_process``. Raises ProcessFailed when it cannot be
    started; that it ended by itself is for the caller to see with ``poll``.
    """
    environment = child_environment(env)
    with _appending(log_file) as file:
        output = ChildOutput(environment, _unheard, file)
        with _running(argv, environment, cwd, output, grace) as child, _pumped(child, output):
            yield BackgroundProcess(child, output, grace)


def how_it_ended(code: int) -> str:
    """An exit code, or the signal that a negative one is, as half a sentence."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def child_environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment a child gets: ``env`` (None: this process's) with the current run's mark."""
    run = current_run()
    return {
        "PYTHONUNBUFFERED": "1",  # lines are streamed as they are written, not in blocks of 8 KiB
        **(os.environ if env is None else env),
        # A server that sets its process title (vLLM does) would otherwise write over the mark in /proc.
        "SPT_NOENV": "1",
        **(run.marks if run else {}),
    }


@contextmanager
def _running(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path | None, output: ChildOutput, grace: float
) -> Iterator[subprocess.Popen[bytes]]:
    """The child for the length of the block; afterwards its group is gone and its output taken."""
    output.announce(argv)
    child = None
    try:
        with uninterrupted():
            child = _start(argv, env, cwd, output)
        yield child
    finally:
        if child:
            try:
                _end(child, grace)
            finally:
                _drain(child, output)


@contextmanager
def _pumped(child: subprocess.Popen[bytes], output: ChildOutput) -> Iterator[None]:
    """Pass lines on from a thread for the length of the block, so that the child never waits for a reader."""
    stopped = threading.Event()
    pump = threading.Thread(target=_pump, args=(child, output, stopped), daemon=True)
    pump.start()
    try:
        yield
    finally:
        stopped.set()
        pump.join()


def _start(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path | None, output: ChildOutput
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise ProcessFailed(
            f"`{output.command(argv)}` could not be started",
            why=f"{error.strerror or error}: {error.filename or argv[0]}",
            next_step="install the program, or mend its path, and run the same command again",
        ) from None


def _follow(child: subprocess.Popen[bytes], output: ChildOutput, deadline: float) -> bool:
    """Pass lines on until the child ends; whether it did so before the deadline."""
    ended = os.pidfd_open(child.pid)  # becomes readable when it ends, and does not collect it
    try:
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.register(_pipe(child), select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in poller.poll(min(_POLL, left) * 1000)}
            if _pipe(child) in ready and not _read(child, output):
                poller.unregister(_pipe(child))
            if ended in ready:
                return True
        return False
    finally:
        os.close(ended)


def _pump(child: subprocess.Popen[bytes], output: ChildOutput, stopped: threading.Event) -> None:
    """Pass lines on from a thread until the stream ends or the block does."""
    poller = select.poll()
    poller.register(_pipe(child), select.POLLIN)
    while not stopped.is_set():
        if poller.poll(_POLL * 1000) and not _read(child, output):
            break


def _pipe(child: subprocess.Popen[bytes]) -> int:
    assert child.stdout is not None  # noqa: S101 - every child here is started with a pipe
    return child.stdout.fileno()


def _read(child: subprocess.Popen[bytes], output: ChildOutput) -> bool:
    """Take what is there; False at the end of the stream."""
    chunk = os.read(_pipe(child), 1 << 16)
    output.take(chunk)
    return bool(chunk)


def _drain(child: subprocess.Popen[bytes], output: ChildOutput) -> None:
    """Take what the child left in the pipe; a process that left the group may hold it open for ever."""
    os.set_blocking(_pipe(child), False)
    deadline = time.monotonic() + 1.0
    try:
        with suppress(BlockingIOError):
            while time.monotonic() < deadline and _read(child, output):
                pass
        output.close()
    finally:
        if child.stdout:
            child.stdout.close()


def _end(child: subprocess.Popen[bytes], grace: float) -> None:
    """End the child's group, by SIGTERM and after ``grace`` seconds by SIGKILL, and collect the child.

    Must come before anything else collects it: until then its id, the group's, cannot be anyone else's.
    """
    try:
        end_group(child.pid, grace)
    finally:
        with suppress(subprocess.TimeoutExpired):
            child.wait(AFTER_KILL)


@contextmanager
def _appending(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="replace") as file:
        yield file


def _failure(argv: Sequence[str], code: int, output: ChildOutput, log_file: Path | None) -> ProcessFailed:
    memory = "when nobody sent that, the machine ran out of memory; " if code == -signal.SIGKILL else ""
    return ProcessFailed(
        f"`{output.command(argv)}` {how_it_ended(code)}",
        why=memory + output.last_lines(),
        next_step=_where(log_file),
        returncode=code,
    )


def _where(log_file: Path | None) -> str:
    return f"read {log_file} for the rest of its output" if log_file else ""


def _unheard(_line: str) -> None:
    """The log of a background process is its file."""
