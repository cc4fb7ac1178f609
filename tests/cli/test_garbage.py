"""``headgate pin`` and ``unpin``: who keeps what, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from registry.pins import list_pins
from tests.simulators.released import TinyHome, release, tiny_home


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyHome:
    """A home with a released version, for the command."""
    made = tiny_home(tmp_path / "home")
    release(made)
    monkeypatch.setenv("HEADGATE_HOME", str(made.home.root))
    monkeypatch.setenv("HEADGATE_ACTOR", "ada")
    return made


def _told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return told


def test_a_pin_names_who_and_why(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """And is taken out again by name."""
    assert main(["pin", "tiny/1", "--why", "a customer compares", "--json"]) == 0
    assert _told(capsys) == {"version": "tiny/1", "missing": [], "ok": True}
    [found] = list_pins(at.store)
    assert (found.version, found.who, found.why) == ("tiny/1", "ada", "a customer compares")
    assert main(["unpin", "tiny/1", "--json"]) == 0
    assert _told(capsys)["was_pinned"]
    assert main(["unpin", "tiny/1"]) == 0
    assert "tiny/1 was not pinned" in capsys.readouterr().err
    assert list_pins(at.store) == []


def test_a_pin_of_what_is_not_here_any_more_says_so(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """It keeps what is left, and whoever pins learns that it is not all."""
    for digest in list(at.blobs.digests()):
        at.blobs.discard(digest, float("inf"))
    assert main(["pin", "tiny/1", "--why", "too late"]) == 0
    assert "files are gone" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("arguments", [["pin", "tiny/9", "--why", "x"], ["pin", "tiny"], ["unpin", "tiny"]])
def test_only_versions_can_be_pinned(at: TinyHome, arguments: list[str]) -> None:
    """Exit code 2, and nothing is written."""
    assert main(arguments) == 2
    assert list_pins(at.store) == []
