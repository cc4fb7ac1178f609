"""Children of the process seam: real ones, ended in every way there is."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from registry.errors import TimedOut
from registry.home import Home
from tasks.process import ProcessFailed, background_process, child_environment, run_process
from tasks.process_table import process
from tasks.run import open_run

PYTHON = sys.executable


def run(code: str, *arguments: str, timeout: float = 20, **options: object) -> list[str]:
    """Run some Python, returning what was logged."""
    lines: list[str] = []
    run_process([PYTHON, "-c", code, *arguments], log=lines.append, timeout=timeout, **options)  # type: ignore[arg-type]
    return lines


def gone(pid: int) -> bool:
    """Whether the process ends within a moment."""
    deadline = time.monotonic() + 30
    while process(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return process(pid) is None


# Starts a grandchild in the same group, prints its id, and waits.
WITH_GRANDCHILD = (
    "import subprocess, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"
)
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
time.sleep(60)
"""


def test_lines_go_to_the_log_and_are_appended_to_the_file(tmp_path: Path) -> None:
    """Both outputs are streamed in order, and a second command adds to the file."""
    file = tmp_path / "logs" / "stage.log"
    assert run("import sys; print('out'); print('err', file=sys.stderr)", log_file=file) == ["out", "err"]
    run("print('again')", log_file=file)
    assert [line for line in file.read_text().splitlines() if not line.startswith("$ ")] == [
        "out",
        "err",
        "again",
    ]


def test_lines_arrive_while_the_child_runs(tmp_path: Path) -> None:
    """A child of Python is not buffered: it ends once its first line has come."""
    arrived = tmp_path / "arrived"
    code = "import os, sys, time; print(1)\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.02)"
    run_process([PYTHON, "-c", code, str(arrived)], log=lambda _: arrived.touch(), timeout=60)


def test_a_failing_command_raises_its_exit_code_and_last_thirty_lines(tmp_path: Path) -> None:
    """The error carries what somebody needs to understand it, and where the rest is."""
    with pytest.raises(ProcessFailed) as caught:
        run("for i in range(100): print('line', i)\nraise SystemExit(7)", log_file=tmp_path / "log")
    assert caught.value.returncode == 7
    text = str(caught.value)
    assert "exit code 7" in text
    assert "line 99" in text
    assert "line 70\n" in text
    assert "line 69\n" not in text
    assert str(tmp_path / "log") in text


def test_a_failure_survives_pickling() -> None:
    """Prefect moves exceptions between processes."""
    failure = ProcessFailed("a", why="b", next_step="c", returncode=3)
    again = pickle.loads(pickle.dumps(failure))
    assert (str(again), again.returncode) == (str(failure), 3)


def test_a_killed_child_is_named_by_its_signal() -> None:
    """SIGKILL from outside usually means that memory ran out, and the error says so."""
    with pytest.raises(ProcessFailed, match="SIGKILL") as caught:
        run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "memory" in str(caught.value)


def test_a_missing_program_is_one_clear_error() -> None:
    """Nothing was started, so there is no exit code."""
    with pytest.raises(ProcessFailed, match="no-such-program") as caught:
        run_process(["no-such-program"], log=lambda _: None, timeout=1)
    assert caught.value.returncode is None


def test_timeout_ends_the_whole_group() -> None:
    """A grandchild does not outlive the timeout."""
    lines: list[str] = []
    with pytest.raises(TimedOut, match=r"within 0\.8 s"):
        run_process([PYTHON, "-c", WITH_GRANDCHILD], log=lines.append, timeout=0.8)
    assert gone(int(lines[0]))


def test_a_child_deaf_to_sigterm_is_killed_after_the_grace() -> None:
    """SIGKILL follows SIGTERM."""
    started = time.monotonic()
    with pytest.raises(TimedOut):
        run(STUBBORN, timeout=0.6, grace=0.3)
    assert time.monotonic() - started < 3


def test_a_child_that_ends_leaves_no_grandchild() -> None:
    """A server forgotten by a script that ended well is ended too, and does not hold us up."""
    started = time.monotonic()
    lines = run("import subprocess; print(subprocess.Popen(['sleep', '60']).pid)")
    assert time.monotonic() - started < 5
    assert gone(int(lines[0]))


def test_a_grandchild_outside_the_group_that_holds_the_pipe_is_not_waited_for() -> None:
    """It is the reaper's; this command is over when the child is."""
    code = "import subprocess; print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid)"
    started = time.monotonic()
    lines = run(code)
    assert time.monotonic() - started < 5
    os.kill(int(lines[0]), signal.SIGKILL)


def test_an_exception_in_the_log_ends_the_child() -> None:
    """Whoever listens may fail; no process is left."""
    seen: list[int] = []

    def listen(line: str) -> None:
        if line.isdigit():
            seen.append(int(line))
            raise RuntimeError("the listener broke")

    with pytest.raises(RuntimeError, match="listener"):
        run_process([PYTHON, "-c", WITH_GRANDCHILD], log=listen, timeout=60)
    assert gone(seen[0])


def test_ctrl_c_ends_the_group_and_goes_on_up() -> None:
    """The child is not in the terminal's group, so it is ended from here."""
    seen: list[int] = []

    def listen(line: str) -> None:
        if line.isdigit():
            seen.append(int(line))
            threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()

    with pytest.raises(KeyboardInterrupt):
        run_process([PYTHON, "-c", WITH_GRANDCHILD], log=listen, timeout=60)
    assert gone(seen[0])


def test_ctrl_c_in_the_moment_a_child_starts_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a process, and nobody a hold of it yet."""
    started: list[int] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("import time; time.sleep(60)")
    assert gone(started[0])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_during_the_grace_still_kills() -> None:
    """Impatience leaves no process behind."""
    seen: list[int] = []
    code = STUBBORN.replace("'up'", "__import__('os').getpid()")

    def listen(line: str) -> None:
        if line.isdigit():
            seen.append(int(line))
            for delay in (0.2, 0.6):
                threading.Timer(delay, signal.raise_signal, [signal.SIGINT]).start()

    with pytest.raises(KeyboardInterrupt):
        run_process([PYTHON, "-c", code], log=listen, timeout=60, grace=10)
    assert gone(seen[0])


def test_secrets_are_nowhere(tmp_path: Path) -> None:
    """Neither log, file, error nor command line shows the value of a secret variable or a hub token."""
    secret, token = "correct-horse-battery", "hf_" + "abcdefgh" * 4
    env = {**os.environ, "REGISTRY_PASSWORD": secret, "TOKENIZERS_PARALLELISM": "parallel-it-is"}
    code = (
        "import os, sys; print(os.environ['REGISTRY_PASSWORD'], sys.argv[1], 'parallel-it-is'); sys.exit(1)"
    )
    lines: list[str] = []
    with pytest.raises(ProcessFailed) as caught:
        run_process(
            [PYTHON, "-c", code, token], log=lines.append, timeout=60, env=env, log_file=tmp_path / "log"
        )
    for text in ("\n".join(lines), (tmp_path / "log").read_text(), str(caught.value)):
        assert secret not in text
        assert token not in text
        assert "parallel-it-is" in text


def test_children_carry_the_mark_of_the_run_and_this_process_does_not(tmp_path: Path) -> None:
    """The mark is in the child's environment, also when a library's thread starts it."""
    lines: list[str] = []
    code = "import os; print(os.environ['HEADGATE_RUN_ID'], os.environ['HEADGATE_HOME'])"
    with open_run(Home(tmp_path), "r-1"):
        thread = threading.Thread(target=lambda: lines.extend(run(code)))
        thread.start()
        thread.join()
        assert "HEADGATE_RUN_ID" not in os.environ
    assert lines == [f"r-1 {tmp_path}"]
    assert "HEADGATE_RUN_ID" not in child_environment({})


def test_the_mark_survives_a_server_that_sets_its_title() -> None:
    """setproctitle, in every vLLM, writes the title over the environment in /proc unless told not to."""
    assert child_environment({})["SPT_NOENV"] == "1"


def test_a_background_server_is_seen_ending(tmp_path: Path) -> None:
    """poll tells the exit code, tail the last words, without secrets."""
    env = {**os.environ, "API_KEY": "open-sesame-123"}
    code = "import os; print('key', os.environ['API_KEY']); raise SystemExit(3)"
    with background_process([PYTHON, "-c", code], log_file=tmp_path / "log", env=env) as server:
        deadline = time.monotonic() + 60
        while server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.poll() == 3
        while not server.tail() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.tail() == ("key [redacted]",)
    assert "open-sesame" not in (tmp_path / "log").read_text()


def test_a_background_server_ends_with_its_block_however_it_ends(tmp_path: Path) -> None:
    """Its grandchildren too; all it wrote is in the log file."""
    log = tmp_path / "log"
    pids: list[int] = []

    def work() -> None:
        with background_process([PYTHON, "-c", WITH_GRANDCHILD], log_file=log) as server:
            pids.append(server.pid)
            deadline = time.monotonic() + 60
            while not server.tail() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert server.poll() is None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert gone(pids[0])
    assert gone(int(log.read_text().split()[-1]))


def test_a_background_server_can_be_ended_before_its_block(tmp_path: Path) -> None:
    """With its grandchildren; how it ended can still be asked, and again is no matter."""
    log = tmp_path / "log"
    with background_process([PYTHON, "-c", WITH_GRANDCHILD], log_file=log) as server:
        deadline = time.monotonic() + 60
        while not server.tail() and time.monotonic() < deadline:
            time.sleep(0.02)
        server.end()
        assert gone(int(log.read_text().split()[-1]))
        assert server.poll() == -signal.SIGTERM
        server.end()


def test_a_background_server_never_waits_for_its_reader(tmp_path: Path) -> None:
    """More output than a pipe holds is taken while nobody looks."""
    code = "import time\nfor i in range(20000): print('x' * 60)\nprint('done')\ntime.sleep(60)"
    with background_process([PYTHON, "-c", code], log_file=tmp_path / "log") as server:
        deadline = time.monotonic() + 60
        while server.tail()[-1:] != ("done",) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.tail()[-1] == "done"
        assert server.poll() is None
