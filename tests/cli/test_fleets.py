"""``status`` and ``down`` by who they mean when nobody is named, and what they leave on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.main import main
from fleet.rollout import start_rollout
from fleet.router import ReplicaSpec
from registry.dir_store import DirStore
from registry.home import Home
from tasks.fleet_records import save_status


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home that does not exist yet."""
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


def began(home: Home, *names: str) -> None:
    """Fleets whose first rollout was interrupted before anything ran."""
    for name in names:
        spec = ReplicaSpec("tiny-v1", ("serve", "{port}"), model="tiny")
        status = start_rollout("tiny-v1", canary=spec, stable=None, port=8000, now=0.0)
        save_status(DirStore(home.store), name, status)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """What a program reads."""
    value: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return value


def test_where_no_fleet_was_started_that_is_the_answer(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """A question has an answer, and there is nothing to stop; neither makes a folder."""
    assert main(["status"]) == 0
    assert "No fleet has been started here" in capsys.readouterr().err
    assert main(["status", "--json"]) == 0
    assert last_line(capsys) == {"fleets": [], "ok": True}
    assert main(["down", "--json"]) == 0
    assert last_line(capsys) == {"fleet": None, "ok": True}
    assert not home.root.exists()


@pytest.mark.parametrize("name", ["absent", "../x", "x" * 300])
@pytest.mark.parametrize("command", ["status", "down"])
def test_a_fleet_that_is_not_there_is_a_mistake(
    home: Home, command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those there are get named; nothing is created, inside the home or beside it."""
    began(home, "local")
    before = sorted(home.root.parent.rglob("*"))
    assert main([command, "--fleet", name]) == 2
    err = capsys.readouterr().err
    assert f"There is no fleet {name!r} here" in "".join(err.splitlines())
    assert "local" in err
    assert sorted(home.root.parent.rglob("*")) == before


def test_the_only_fleet_needs_no_name(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it is called."""
    began(home, "quickstart")
    assert main(["status"]) == 0
    assert "Fleet quickstart" in capsys.readouterr().out
    assert main(["down", "--json"]) == 0
    assert last_line(capsys) == {"fleet": "quickstart", "ok": True}
    assert main(["status", "--fleet", "quickstart", "--json"]) == 0
    status = last_line(capsys)
    assert isinstance(status["rollout"], dict)
    assert status["rollout"]["phase"] == "failed"


def test_several_fleets_are_all_shown_and_none_is_stopped_unnamed(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row each; to stop one, it has to be named."""
    began(home, "a", "b")
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert all(f"│ {name} " in shown for name in "ab")
    assert main(["status", "--json"]) == 0
    listed = last_line(capsys)["fleets"]
    assert isinstance(listed, list)
    assert [known["fleet"] for known in listed] == ["a", "b"]
    assert main(["down"]) == 2
    assert "more than one fleet here: a, b" in capsys.readouterr().err


def test_a_home_that_cannot_be_written_is_explained(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """The lock's file cannot be made: a paragraph, not a traceback."""
    began(home, "local")
    (home.fleets / "local" / "rollout.lock").mkdir(parents=True)
    assert main(["down"]) == 40
    assert "Cannot write" in capsys.readouterr().err


def test_a_damaged_record_is_named(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Which one, and what to do."""
    began(home, "local")
    (home.store / "rollouts" / "local.json").write_bytes(b"{")
    assert main(["status", "--json"]) == 40
    assert "rollouts/local.json cannot be read" in str(last_line(capsys))
