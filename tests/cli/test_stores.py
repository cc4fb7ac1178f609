"""``headgate store copy`` and ``upgrade``, and what a store that is not there means to the other commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from registry.dir_store import DirStore
from registry.home import Home
from registry.key_ring import load_trust
from tests.simulators.released import TinyHome, release, tiny_home

OLD = Path(__file__).parents[1] / "fixtures" / "store-1"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyHome:
    """A home with a released version, where the commands look."""
    for name in ("HEADGATE_STORE", "HEADGATE_SIGNING_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    made = tiny_home(tmp_path / "my home")
    release(made)
    monkeypatch.setenv("HEADGATE_HOME", str(made.home.root))
    return made


def told(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> tuple[Any, str]:
    """What a program is told, and what a person is, when a command ends with this code."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    said = capsys.readouterr()
    return json.loads(said.out.splitlines()[-1]), " ".join(said.err.split())


def test_a_backup_counts_its_records(
    here: TinyHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says when there is nothing new."""
    first, _ = told(capsys, 0, "store", "copy", str(here.home.store), str(tmp_path / "backup"))
    assert first["records"] == first["written"] > 10
    again, _ = told(capsys, 0, "store", "copy", str(here.home.store), str(tmp_path / "backup"))
    assert again == {**first, "written": 0}


@pytest.mark.parametrize(
    ("source", "target", "env", "code", "says"),
    [
        ("HOME", "backup", {}, 2, "did you mean"),
        ("mistyped", "backup", {}, 2, "the folder does not exist"),
        ("HOME/store", "HOME", {}, 2, "holds other things"),
        ("HOME/store", "HOME/store", {}, 2, "they are the same store"),
        ("HOME/store", "s3://Models", {}, 2, "no bucket's name"),
        ("HOME/store", "s3://models", {"AWS_PROFILE": "nobody"}, 2, "nobody"),
        ("HOME/store", "s3://models", {"AWS_ENDPOINT_URL_S3": "localhost:9"}, 2, "Invalid endpoint"),
    ],
)
def test_what_was_mistyped_is_a_usage_error_and_nothing_is_written(
    here: TinyHome,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    target: str,
    env: dict[str, str],
    code: int,
    says: str,
) -> None:
    """One rule for folders and buckets."""
    monkeypatch.chdir(tmp_path)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    before = sorted(tmp_path.rglob("*"))
    named = [word.replace("HOME", str(here.home.root)) for word in (source, target)]
    error, said = told(capsys, code, "store", "copy", *named)
    assert says in said
    assert error["error"]["kind"] == "UsageError"
    assert error["error"]["next"]
    assert sorted(tmp_path.rglob("*")) == before


def test_damage_is_told_from_a_mistake(
    here: TinyHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 10, as of everything that is refused for what it is."""
    key = next(here.store.list("evidence/"))
    (here.home.store / key).write_bytes(b"{}")
    error, _ = told(capsys, 10, "store", "copy", str(here.home.store), str(tmp_path / "backup"))
    assert error["error"]["kind"] == "Refused"


def test_an_upgrade_says_what_it_left(
    here: TinyHome, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 13 when a person has to look: here another home's key has signed, which is not trusted."""
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "other home"))
    monkeypatch.setenv("HEADGATE_STORE", str(here.home.store))
    found, _ = told(capsys, 13, "store", "upgrade")
    assert (found["ok"], found["done"]) == (False, [])
    assert [sentence.split(":")[0] for sentence in found["left"]] == [
        "left tiny/1",
        "left the aliases of tiny on cpu",
    ]
    assert main(["store", "upgrade"]) == 13
    assert "0 things signed, 2 left." in capsys.readouterr().err


def test_an_old_store_is_upgraded(
    here: TinyHome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once; the second time there is nothing to sign."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.setenv("HEADGATE_STORE", str(tmp_path / "old"))
    found, _ = told(capsys, 0, "store", "upgrade")
    assert (found["ok"], found["left"]) == (True, [])
    assert len(found["done"]) > 4
    assert main(["store", "upgrade"]) == 0
    assert "Everything was signed already." in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "versions",
        "show tiny/1",
        "history tiny",
        "verify tiny/1",
        "approve tiny/1 --why x",
        "stage tiny/1",
        "pin tiny/1 --why x",
        "vouch tiny --gpu-class cpu --why x",
        "store upgrade",
    ],
)
def test_a_mistyped_store_is_not_an_empty_one(
    here: TinyHome,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    """A folder that is not there, or a home where its store was meant; nothing is made in either."""
    before = sorted(tmp_path.rglob("*"))
    for named, says in ((tmp_path / "shraed", "the folder does not exist"), (here.home.root, "did you mean")):
        monkeypatch.setenv("HEADGATE_STORE", str(named))
        _, said = told(capsys, 2, *command.split())
        assert f"There is no store at {named}" in said
        assert says in said
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_store_says_which_it_is(
    here: TinyHome, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home's own before its first release, a new folder, or a model that is not there."""
    assert main(["versions", "tny"]) == 0
    assert f"The store {here.home.store} holds no versions of tny (did you mean 'tiny'?)." in said(capsys)
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv("HEADGATE_STORE", str(tmp_path / "shared"))
    assert main(["versions"]) == 0
    assert f"The store {tmp_path / 'shared'} holds no versions yet. Next: `headgate release" in said(capsys)
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "new home"))
    monkeypatch.setenv("HEADGATE_STORE", str(tmp_path / "new home" / "store"))
    assert main(["versions"]) == 0
    assert f"The store {tmp_path / 'new home' / 'store'} holds no versions yet" in said(capsys)
    assert main(["store", "upgrade"]) == 0
    assert "holds no versions yet" in said(capsys)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_what_brings_versions_begins_a_store_and_says_so(
    here: TinyHome, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been mistyped."""
    assert main(["export", "tiny/1", str(tmp_path / "stick")]) == 0
    there, store = Home(tmp_path / "there"), tmp_path / "shared"
    monkeypatch.setenv("HEADGATE_HOME", str(there.root))
    monkeypatch.setenv("HEADGATE_STORE", str(store))
    for key in load_trust(here.home).keys:
        (tmp_path / "key.pem").write_text(key.pem)
        assert main(["keys", "trust", str(tmp_path / "key.pem"), "--name", key.name]) == 0
    assert main(["import", str(tmp_path / "stick")]) == 0
    assert f"Began a new, empty store in {store}: there was none (HEADGATE_STORE)." in said(capsys)
    assert list(DirStore(store).list("versions/")) == ["versions/tiny/000001.json"]
    assert main(["import", str(tmp_path / "stick")]) == 0
    assert "Began" not in said(capsys)
