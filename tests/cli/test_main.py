"""The command line's edges: exit codes, the last line of ``--json``, and what a stranger types first."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import main
from registry.home import Home

_INTERRUPTED_IMPORT = """
import importlib.abc, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
module, number = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            os.kill(os.getpid(), number)
from cli.main import run
assert module not in sys.modules, "the entry point imports too much"
sys.meta_path.insert(0, Finder())
run()
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home for the command."""
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "my home"))
    return Home(tmp_path / "my home")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["release", "--help"]])
def test_help_names_the_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A stranger who types anything like a question gets an answer."""
    assert main(arguments) in {0, 2}
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["relase"], ["release"], ["show"], ["status", "--flet", "x"]])
def test_a_mistyped_command_is_a_usage_error(arguments: list[str]) -> None:
    """Exit code 2, as shells and CI expect."""
    assert main(arguments) == 2


def test_no_versions_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty registry is not an error."""
    assert main(["versions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"versions": [], "problems": [], "ok": True}


@pytest.mark.parametrize("reference", ["tiny", "tiny/9", "tiny/0", "../x/1"])
def test_an_absent_version_is_a_usage_error_with_the_next_step(
    reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The paragraph on standard error, the object on standard output."""
    assert main(["show", reference, "--json"]) == 2
    told = capsys.readouterr()
    error = json.loads(told.out)
    assert (error["ok"], error["exit_code"]) == (False, 2)
    assert error["error"]["next"]
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status", "--flet", "x"], "--flet"),
        (["promote"], "Missing argument"),
        (["relase"], "relase"),
        (["quickstart", "--port", "99999999"], "--port"),
    ],
)
def test_a_program_is_told_of_a_mistyped_command(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage for people on standard error, the object as the last line for programs."""
    assert main([*arguments, "--json"]) == 2
    said = capsys.readouterr()
    result = json.loads(said.out.splitlines()[-1])
    assert (result["ok"], result["exit_code"], result["error"]["kind"]) == (False, 2, "UsageError")
    assert told in result["error"]["what"]
    assert "Usage: headgate" in said.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["typer", "cli.display", "prefect", "flows.promote"])
def test_an_interrupt_while_python_imports_is_no_traceback(module: str, number: signal.Signals) -> None:
    """Before the command begins, and in the middle of what it loads: exit code 130, and the object."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_IMPORT, module, str(int(number)), "promote", "tiny/1", "--json"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert "Stopped. What was finished is kept" in done.stderr
    assert "Traceback" not in done.stderr
    result = json.loads(done.stdout)
    assert (result["ok"], result["exit_code"], result["error"]["kind"]) == (False, 130, "Interrupted")


def test_commands_that_need_no_prefect_do_not_wait_for_it(home: Home) -> None:
    """It takes a second to import; nor do they load what talks to object stores and image registries."""
    program = """
import sys
from cli.main import main
codes = [main(words.split()) for words in sys.argv[1:]]
print(codes, sorted({"prefect", "boto3", "httpx"} & sys.modules.keys()))
"""
    commands = ["versions", "verify tiny/1", "import stick", "export tiny/1 stick", "approve tiny/1 --why x"]
    commands += ["history tiny", "pin tiny/1 --why x", "keys list", "store upgrade", "show tiny/1", "suites"]
    done = subprocess.run(
        [sys.executable, "-c", program, *commands], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "[0, 2, 2, 2, 2, 2, 2, 0, 0, 2, 0] []"
