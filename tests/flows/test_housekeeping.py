"""``headgate gc`` and ``headgate reconcile`` as flows: nothing without --apply, words, exit codes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from flows.collect_garbage import collect_garbage
from registry.publish import get_version
from tests.simulators.released import TinyHome, release, tiny_home

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyHome:
    """A home with a released version, for the command."""
    made = tiny_home(tmp_path / "home")
    release(made)
    monkeypatch.setenv("HEADGATE_HOME", str(made.home.root))
    return made


def _told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return told


def _old_leftover(at: TinyHome) -> Path:
    left = at.home.blobs / "sha256" / ".tmp-1-aa"
    left.write_bytes(b"x" * 4200)
    os.utime(left, (0, 0))
    return left


def test_a_dry_run_shows_and_apply_removes(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """The table says what stays and why, and what goes."""
    left = _old_leftover(at)
    assert main(["gc"]) == 0
    told = capsys.readouterr()
    shown = " ".join(told.out.split())
    assert "production on cpu" in shown
    assert "leftovers of dead writers" in shown
    assert re.search(r"4.2 kB unused since .* UTC would be freed: add --apply", told.err)
    assert left.exists()
    assert main(["gc", "--apply", "--json"]) == 0
    assert _told(capsys)["kinds"] == [{"kind": "leftovers of dead writers", "count": 1, "bytes": 4200}]
    assert not left.exists()


@pytest.mark.parametrize("grace", ["0h", "soon", "-1d", "1"])
def test_a_time_that_is_none_is_a_usage_error(grace: str) -> None:
    """Named by its key, with what would be one."""
    state = collect_garbage(apply=True, grace=grace, return_state=True)
    assert state.is_failed()
    assert f"grace must be a duration such as 90d, 12h, 30m or 2w, not '{grace}'" in state.message


def test_reconcile_ends_with_ten_while_something_is_left(
    at: TinyHome, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lagging alias record is open in a dry run, mended with --apply, and gone then."""
    record = at.home.store / "aliases" / "tiny" / "cpu.json"
    old = record.read_bytes()
    release(at, weights={"model.safetensors": b"other"})
    assert main(["reconcile", "--apply"]) == 0  # what was said about the shared source since
    record.write_bytes(old)
    assert main(["reconcile", "--json"]) == 10
    told = _told(capsys)
    assert (told["left"], told["ok"]) == (1, False)
    assert "lags behind its log" in told["problems"][0]["what"]
    assert main(["reconcile", "--apply"]) == 0
    assert "mended" in capsys.readouterr().out
    assert main(["reconcile"]) == 0
    assert "Everything is whole" in capsys.readouterr().err


def test_a_version_that_is_half_here_is_told(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """Production could not start again: that is worth an alarm."""
    lost = max(at.blobs.digests(), key=lambda digest: at.blobs.path(digest).stat().st_size)
    at.blobs.discard(lost, float("inf"))
    assert main(["reconcile", "--json"]) == 10
    [problem] = _told(capsys)["problems"]
    assert "tiny/1 is not whole on this machine: 1 of its 3 files is gone" in problem["what"]
    assert problem["remedy"] == "release it again, or import it"


def test_a_damaged_image_manifest_hides_no_other_problem(
    at: TinyHome, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told with what to do, and the rest is looked at all the same."""
    other = release(at, "other", weights={"config.json": b"{}"})
    assert main(["reconcile", "--apply"]) == 0
    image = get_version(at.store, "tiny/1").image
    (at.home.oci / "blobs" / "sha256" / image.hex).write_bytes(b"{}")
    (at.home.oci / "blobs" / "sha256" / other.image.hex).unlink()
    capsys.readouterr()
    assert main(["reconcile", "--apply", "--json"]) == 10
    problems = {problem["what"]: problem for problem in _told(capsys)["problems"]}
    damaged = next(what for what in problems if what.startswith("tiny/1 is damaged on this machine"))
    assert str(image) in damaged
    assert problems[damaged]["remedy"]
    assert any(what.startswith("other/1 is not whole on this machine") for what in problems)


def test_a_registry_that_cannot_be_looked_at_is_no_damage(
    at: TinyHome, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 40, as for every command that needs it; 10 while something else is left."""
    version = get_version(at.store, "tiny/1")
    place = {"format": 1, "image": str(version.image), "repository": "127.0.0.1:1/models/tiny"}
    at.store.put_if_absent("attachments/a/b.json", json.dumps(place).encode())
    assert main(["reconcile", "--json"]) == 40
    told = _told(capsys)
    assert (told["left"], told["unseen"], told["ok"]) == (0, 1, False)
    assert "tiny/1 in 127.0.0.1:1/models/tiny could not be looked at" in told["problems"][0]["what"]
    at.store.delete("versions-by-content/tiny/" + version.content_digest.hex)
    assert main(["reconcile"]) == 10


@pytest.mark.parametrize("arguments", [["--rollbacks=-1"], ["--rollback-window", "0m"]])
def test_garbage_is_kept_for_no_less_than_no_time(
    at: TinyHome, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Exit code 2, in words."""
    assert main(["gc", *arguments]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "Retention(" not in told
    assert "Next:" in told


def test_a_weights_store_that_does_not_answer_is_told(
    at: TinyHome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is done, and the exit code is 40."""
    left = _old_leftover(at)
    monkeypatch.setattr("tasks.s3_bucket._PAUSES", ())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("HEADGATE_WEIGHTS", "s3://models/weights")
    assert main(["gc", "--apply"]) == 40
    told = " ".join(capsys.readouterr().err.split())
    assert "4.2 kB" in told
    assert "Something is left to do in the weights store. Cannot list uploads" in told
    assert "Next: " in told
    assert not left.exists()
    assert main(["gc", "--json"]) == 40
    assert _told(capsys)["ok"] is False


def test_a_weights_store_in_a_folder_is_a_usage_error(
    at: TinyHome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is removed."""
    left = _old_leftover(at)
    monkeypatch.setenv("HEADGATE_WEIGHTS", str(at.home.root / "weights"))
    assert main(["gc", "--apply"]) == 2
    assert "names the folder" in capsys.readouterr().err
    assert left.exists()
