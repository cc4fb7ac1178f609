"""The command line's edges: exit codes, the last line of ``--json``, and what a stranger types first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import main
from registry.home import Home


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
    assert json.loads(capsys.readouterr().out) == {"versions": [], "ok": True}


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


def test_a_fleet_name_cannot_leave_the_home(capsys: pytest.CaptureFixture[str]) -> None:
    """It becomes a folder."""
    assert main(["status", "--fleet", "../../x"]) == 2
    assert "cannot be the name of a fleet" in capsys.readouterr().err


def test_a_fleet_that_was_never_up_has_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    """Down is a state, not an error."""
    assert main(["status", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["rollout"], status["observed"]["replicas"]) == (None, [])


def test_commands_that_need_no_prefect_do_not_wait_for_it(home: Home) -> None:
    """It takes a second to import; nor do they load what talks to object stores and image registries."""
    program = """
import sys
from cli.main import main
codes = [main(words.split()) for words in sys.argv[1:]]
print(codes, sorted({"prefect", "boto3", "httpx"} & sys.modules.keys()))
"""
    commands = ["versions", "verify tiny/1", "import stick", "export tiny/1 stick", "approve tiny/1 --why x"]
    commands += ["history tiny", "pin tiny/1 --why x", "keys list", "store upgrade", "show tiny/1"]
    done = subprocess.run(
        [sys.executable, "-c", program, *commands], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "[0, 2, 2, 2, 2, 2, 2, 0, 0, 2] []"
