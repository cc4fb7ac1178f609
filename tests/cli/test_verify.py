"""``headgate verify`` and ``store``: what is printed, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from registry.policy_file import read_policy
from tests.simulators.released import TinyHome, release, tiny_home


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyHome:
    """A home with a released version, which the commands work in."""
    made = tiny_home(tmp_path / "my home")
    release(made)
    enter(made, monkeypatch)
    return made


def enter(at: TinyHome, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADGATE_STORE", "HEADGATE_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEADGATE_HOME", str(at.home.root))


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return value


def test_verify_says_that_all_is_well(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """For people a line per check, for programs the verdict."""
    assert main(["verify", "tiny/1"]) == 0
    shown = capsys.readouterr()
    assert "everything is as it was signed" in shown.out
    assert "kB of" in shown.err
    assert main(["verify", "tiny/1", "--json"]) == 0
    found = said(capsys)
    assert found["ok"] is True
    assert found["verdict"]["outcome"] == "pass"


def test_verify_fails_for_damage(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 10, and what to do about it."""
    blob = max((at.home.blobs / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"x" * blob.stat().st_size)
    assert main(["verify", "tiny/1"]) == 10
    assert "WRONG" in capsys.readouterr().out
    assert main(["verify", "tiny/1", "--json"]) == 10
    found = said(capsys)
    assert found["ok"] is False
    assert found["verdict"]["outcome"] == "fail"


def test_verify_tells_policy_from_damage(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 13: nothing is wrong, and somebody has to approve."""
    at.home.policy.write_text("production:\n  - kind: approval\n")
    assert read_policy(at.home.policy)
    assert main(["verify", "tiny/1"]) == 13
    assert "waits" in capsys.readouterr().out
    assert main(["verify", "tiny/1", "--json"]) == 13
    assert "nobody has approved it" in json.dumps(said(capsys)["verdict"])


@pytest.mark.parametrize(
    "arguments", [["verify", "tiny/7"], ["verify", "tiny"], ["export", "tiny/1"], ["import"]]
)
def test_a_mistake_is_a_usage_error(
    at: TinyHome, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Explained in a sentence, without a traceback."""
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_store_is_copied_and_used_where_it_is(
    at: TinyHome, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is named by HEADGATE_STORE from then on."""
    backup = str(tmp_path / "backup")
    assert main(["store", "copy", str(at.home.store), backup, "--json"]) == 0
    copied = said(capsys)
    assert copied["records"] == copied["written"] > 10
    monkeypatch.setenv("HEADGATE_STORE", backup)
    assert main(["verify", "tiny/1"]) == 0
    assert main(["store", "copy", "ftp://x", backup]) == 2


def test_an_upgrade_says_what_it_signed(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing, in a store of today."""
    (at.home.keys / "signing.pem").write_bytes(at.signer.to_pem())
    (at.home.keys / "signing.pem").chmod(0o600)
    assert main(["store", "upgrade"]) == 0
    assert "signed already" in capsys.readouterr().err
    assert main(["store", "upgrade", "--json"]) == 0
    assert said(capsys) == {"done": [], "ok": True}
