"""``headgate export`` and ``import``: versions cross an air gap, beside whatever else goes on."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import archive
from cli.main import main
from registry.evidence import Evidence, record
from registry.garbage import Retention
from registry.home import Home
from registry.key_ring import load_trust
from registry.manifests import load_manifest
from registry.predicates import ALIAS_MOVE, LOAD
from registry.publish import get_version
from registry.sweep import missing_bytes
from tasks.collect_garbage import collect_garbage
from tasks.run import Run, live_runs
from tasks.workplace import Workplace
from tests.simulators.archives import advised
from tests.simulators.released import AT, TinyHome, passed, release, tiny_home

NO_GRACE = Retention(rollbacks=0, rollback_seconds=0, grace_seconds=0, log_seconds=0)


def enter(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands in this home, with its own key."""
    for name in ("HEADGATE_STORE", "HEADGATE_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEADGATE_HOME", str(home.root))
    monkeypatch.setenv("HEADGATE_ACTOR", "ada")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyHome:
    """A home with a released version, and its key where the commands look."""
    made = tiny_home(tmp_path / "my home")
    release(made)
    (made.home.keys / "signing.pem").write_bytes(made.signer.to_pem())
    (made.home.keys / "signing.pem").chmod(0o600)
    enter(made.home, monkeypatch)
    return made


@pytest.fixture
def stick(here: TinyHome, tmp_path: Path) -> str:
    """The version, exported."""
    assert main(["export", "tiny/1", str(tmp_path / "stick")]) == 0
    return str(tmp_path / "stick")


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return value


def run_advice(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run the commands that the last error told, as they were printed; returns the names of the keys."""
    commands = [shlex.split(line) for line in advised(" ".join(capsys.readouterr().err.split()))]
    assert commands
    assert [main(words[1:]) for words in commands] == [0] * len(commands)
    return [words[words.index("--name") + 1] for words in commands if "--name" in words]


def test_a_version_crosses_an_air_gap(
    here: TinyHome, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exported here, refused there until the key is trusted, imported, verified."""
    stick = str(tmp_path / "stick")
    assert main(["export", "tiny/1", stick, "--json"]) == 0
    assert said(capsys) == {"exported": ["tiny/1"], "folder": stick, "ok": True}
    enter(tiny_home(tmp_path / "there").home, monkeypatch)
    assert main(["import", stick]) == 10
    [name] = run_advice(capsys)
    assert main(["import", stick, "--json"]) == 0
    told = said(capsys)
    assert told["imported"] == ["tiny/1"]
    [export] = told["exports"]
    assert (export["version"], export["who"], export["signer"]) == ("tiny/1", "ada", name)
    assert main(["import", stick]) == 0
    assert f"tiny/1 is here, as exported by ada at {export['at']}" in capsys.readouterr().err
    assert main(["verify", "tiny/1"]) == 0


def test_the_printed_commands_are_all_it_takes(
    here: TinyHome,
    stick: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run as they are, import again: also where the name is taken, and when more kinds come later."""
    there = tiny_home(tmp_path / "there")
    enter(there.home, monkeypatch)
    assert main(["import", stick]) == 10
    [name] = run_advice(capsys)
    assert name.startswith("builder-")
    assert main(["import", stick]) == 0
    version = get_version(here.store, "tiny/1")
    later = Evidence(kind=LOAD, subject=version.release_digest, verdict=passed(LOAD), facts={"at": AT})
    record(here.store, here.signer, later)
    enter(here.home, monkeypatch)
    assert main(["export", "tiny/1", stick]) == 0
    enter(there.home, monkeypatch)
    capsys.readouterr()
    assert main(["import", stick]) == 10
    assert run_advice(capsys) == [name]
    assert main(["import", stick]) == 0
    assert ALIAS_MOVE not in (there.trust.of(name)[0].kinds or {ALIAS_MOVE})


def test_moves_over_there_are_shown_as_history(
    stick: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as doubtful evidence: nobody here has to believe another house's log."""
    enter(tiny_home(tmp_path / "there").home, monkeypatch)
    assert main(["import", stick]) == 10
    run_advice(capsys)
    assert main(["import", stick]) == 0
    assert main(["show", "tiny/1"]) == 0
    shown = capsys.readouterr().out
    assert "doubtful" not in shown
    assert "alias moves over there, where it came from: not this house's log" in shown
    assert shown.count("production to 1") == 1
    assert main(["show", "tiny/1", "--json"]) == 0
    value = said(capsys)
    assert [move["alias"] for move in value["moves_elsewhere"]] == ["candidate", "production"]
    assert (value["moves"], value["aliases"]) == ([], [])
    assert main(["verify", "tiny/1"]) == 0


def test_a_forgotten_folder_is_no_version(here: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """The last of two versions would become a folder of that name, and be left out."""
    assert main(["export", "tiny/1", "tiny/1", "--json"]) == 2
    assert "tiny/1 is a version" in said(capsys)["error"]["what"]
    assert not Path("tiny").exists()


def test_a_home_without_a_key_makes_one_to_export_with(
    tmp_path: Path, here: TinyHome, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says so; but not for a version that there is not."""
    (here.home.keys / "signing.pem").unlink()
    assert main(["export", "tiny/7", str(tmp_path / "stick")]) == 2
    assert len(load_trust(here.home).keys) == 1
    assert main(["export", "tiny/1", str(tmp_path / "stick")]) == 0
    assert "Made the signing key" in capsys.readouterr().err
    assert len(load_trust(here.home).keys) == 2


def test_garbage_collection_beside_an_import_takes_nothing_of_it(
    here: TinyHome, stick: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any grace, after every byte that is counted: no record names the blobs yet."""
    there = tiny_home(tmp_path / "there")
    there.trusts("first-house", here.signer)
    enter(there.home, monkeypatch)
    collector, collected = Workplace(there.home, os.environ, Run(there.home, "collector")), 0

    def counter(_stage: str, _size: Callable[[], int]) -> Callable[[int], None]:
        def heard(_count: int) -> None:
            nonlocal collected
            assert len(live_runs(there.home)) == 1
            collect_garbage.fn(collector, NO_GRACE, apply=True)
            collected += 1

        return heard

    monkeypatch.setattr(archive, "byte_counter", counter)
    assert main(["import", stick]) == 0
    assert collected > 6
    version = get_version(there.store, "tiny/1")
    weights = load_manifest(there.store, version.weights_manifest)
    assert missing_bytes(version, weights, there.blobs, there.layout) == []
    assert main(["verify", "tiny/1"]) == 0
    assert live_runs(there.home) == {}
