"""``headgate verify`` and ``store``: what is printed, and the exit codes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from registry.alias import Alias
from registry.digest import canonical_json
from registry.oci_client import OciClient
from registry.open_store import open_registry
from registry.policy_file import read_policy
from registry.publish import get_version, publish
from registry.reconcile import Reconciler
from tests.simulators.records import draft
from tests.simulators.released import WHEN, TinyHome, release, tiny_home


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


def test_verify_says_what_is_not_on_this_machine(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 13: a home that has the store alone cannot say that the bytes are whole, or not."""
    for folder in (at.home.blobs, at.home.oci, at.home.cache):
        shutil.rmtree(folder)
    assert main(["verify", "tiny/1"]) == 13
    shown = " ".join(capsys.readouterr().out.split())
    assert "nothing wrong was found, and not everything could be checked" in shown
    assert "unseen" in shown
    assert "WRONG" not in shown


def test_a_rejection_that_was_deleted_is_found_and_put_back(
    at: TinyHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody wanted the version back in production; the image remembers."""
    monkeypatch.setenv("HEADGATE_SIGNING_KEY", str(_key(at)))
    before = set(at.store.list("evidence/"))
    assert main(["approve", "tiny/1", "--reject", "--why", "it swears"]) == 0
    (key,) = set(at.store.list("evidence/")) - before
    rejection = at.store.get(key)
    at.store.delete(key)
    capsys.readouterr()
    assert main(["verify", "tiny/1", "--json"]) == 10
    assert "was removed from the store" in json.dumps(said(capsys))
    for command in (["stage", "tiny/1"], ["export", "tiny/1", str(at.home.root / "stick")]):
        assert main([*command, "--json"]) == 10
        assert "was removed from the store" in said(capsys)["error"]["what"]
    mend(at)
    assert at.store.get(key) == rejection
    assert main(["verify", "tiny/1", "--json"]) == 13
    assert "rejected" in json.dumps(said(capsys))


def test_a_rejection_signed_where_no_image_is_is_found_and_put_back(
    at: TinyHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second person of four eyes has the store, and nothing else; so has whoever deletes the no."""
    shutil.rmtree(at.home.oci)
    monkeypatch.setenv("HEADGATE_SIGNING_KEY", str(_key(at)))
    before = set(at.store.list("evidence/"))
    assert main(["approve", "tiny/1", "--reject", "--why", "it swears"]) == 0
    (key,) = set(at.store.list("evidence/")) - before
    at.store.delete(key)
    capsys.readouterr()
    assert main(["verify", "tiny/1", "--json"]) == 10
    assert "this home has seen a rejection by" in json.dumps(said(capsys))
    assert main(["show", "tiny/1", "--json"]) == 0
    assert "was removed from the store" in said(capsys)["missing"]["production"][0]
    assert main(["stage", "tiny/1", "--json"]) == 10
    assert "was removed from the store" in said(capsys)["error"]["what"]
    mend(at)
    assert key in set(at.store.list("evidence/"))


def test_a_version_whose_record_is_gone_is_wrong(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """It was published: it is not one that nobody ever released."""
    at.store.delete("versions/tiny/000001.json")
    assert main(["verify", "tiny/1", "--json"]) == 10
    assert "is gone from the store" in json.dumps(said(capsys))
    assert main(["show", "tiny/1"]) == 40
    assert "restore the store from a backup" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "arguments", [["show", "tiny/1"], ["stage", "tiny/1"], ["export", "tiny/1", "stick"]]
)
def test_a_version_that_only_the_alias_log_names_is_gone_for_every_command(
    at: TinyHome, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its record and its index entry were removed: that is damage, and not a slip of the pen."""
    version = get_version(at.store, "tiny/1")
    at.store.delete(f"versions-by-content/tiny/{version.content_digest.hex}")
    at.store.delete("versions/tiny/000001.json")
    assert main([*arguments, "--json"]) == 40
    error = said(capsys)["error"]
    assert not Path("stick").exists()
    assert error["what"] == "The record of tiny/1 is gone from the store"
    assert "the alias log of tiny on cpu names it" in error["why"]


def test_an_altered_record_is_not_for_reconcile_to_name_again(
    at: TinyHome, capsys: pytest.CaptureFixture[str]
) -> None:
    """The index does not name it, as nobody signed for it: the record is what has to come back."""
    record = at.home.store / "versions/tiny/000001.json"
    record.write_bytes(canonical_json(json.loads(record.read_bytes()) | {"source_commit": "b" * 40}))
    assert main(["verify", "tiny/1", "--json"]) == 10
    index = [f["message"] for f in said(capsys)["verdict"]["findings"] if f["name"] == "index"]
    assert "Next: put the version's record back from a backup" in index[0]
    assert "reconcile" not in index[0]
    assert main(["stage", "tiny/1", "--json"]) == 13
    assert "its record has changed: see `headgate verify`" in said(capsys)["error"]["why"]


def test_what_verify_says_of_the_index_is_what_reconcile_does(
    at: TinyHome, capsys: pytest.CaptureFixture[str]
) -> None:
    """An old record whose number the index gives to other content is not the one that was published."""
    old = publish(at.store, draft("old", source_set=None))
    forged = canonical_json(replace(old, source_commit="b" * 40).to_json())
    (at.home.store / "versions/old/000001.json").write_bytes(forged)
    assert main(["verify", "old/1", "--json"]) == 10
    (told,) = [f["message"] for f in said(capsys)["verdict"]["findings"] if f["name"] == "index"]
    assert "Next: put the version's record back from a backup" in told
    at.store.delete(f"versions-by-content/old/{old.content_digest.hex}")
    assert main(["verify", "old/1", "--json"]) == 10
    (told,) = [f["message"] for f in said(capsys)["verdict"]["findings"] if f["name"] == "index"]
    assert "Next: `headgate reconcile --apply` writes it anew" in told


def test_evidence_that_is_damaged_is_not_said_to_be_removed(
    at: TinyHome, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file is there: one finding tells of it, and none of another fault."""
    version = get_version(at.store, "tiny/1")
    scan = next(iter(at.store.list(f"evidence/{version.runtime.hex}/")))
    (at.home.store / scan).write_bytes(b"{}")
    assert main(["verify", "tiny/1", "--json"]) == 10
    findings = {f["name"]: f for f in said(capsys)["verdict"]["findings"]}
    assert (findings["evidence"]["outcome"], findings["kept"]["outcome"]) == ("fail", "pass")


@pytest.mark.parametrize("data", [None, b"{}"])
def test_each_fault_of_the_alias_log_is_told_once_with_what_helps(
    at: TinyHome, capsys: pytest.CaptureFixture[str], data: bytes | None
) -> None:
    """The record lags, which `reconcile --apply` mends; or the last move is damaged."""
    aliases = at.home.store / "aliases/tiny/cpu.json"
    lagging = aliases.read_bytes()
    assert main(["stage", "tiny/1"]) == 0
    if data:
        (at.home.store / "audit/tiny/cpu/00000003.json").write_bytes(data)
    else:
        aliases.write_bytes(lagging)
    capsys.readouterr()
    assert main(["verify", "tiny/1", "--json"]) == 10
    (told,) = [f["message"] for f in said(capsys)["verdict"]["findings"] if f["name"] == "aliases"]
    assert ("vouch tiny --gpu-class cpu" if data else "`headgate reconcile --apply`") in told
    assert told.count("headgate reconcile") == (0 if data else 1)


def _key(at: TinyHome) -> Path:
    path = at.home.keys / "signing.pem"
    path.write_bytes(at.signer.to_pem())
    path.chmod(0o600)
    return path


def mend(at: TinyHome) -> None:
    """What ``headgate reconcile --apply`` does."""
    reconciler = Reconciler(
        store=open_registry({}, at.home),
        signer=at.signer,
        trust=at.trust,
        layout=at.layout,
        who="ada",
        run="run-2",
        now=WHEN,
        connect=lambda place: OciClient(place.repository),
    )
    assert [p.what for p in reconciler.problems() if not p.mend or not p.mend()] == []


def test_verify_tells_policy_from_damage(at: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 13: nothing is wrong, and somebody has to approve; what was live here is exempt."""
    at.home.policy.write_text("production:\n  - kind: approval\n")
    assert read_policy(at.home.policy)
    release(at, "fresh", aliases=[Alias.CANDIDATE])
    assert main(["verify", "fresh/1"]) == 13
    assert "waits" in capsys.readouterr().out
    assert main(["verify", "fresh/1", "--json"]) == 13
    assert "nobody has approved it" in json.dumps(said(capsys))
    assert main(["verify", "tiny/1", "--json"]) == 0
    assert "it is exempt from the policy" in json.dumps(said(capsys))


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
    assert said(capsys) == {"done": [], "left": [], "ok": True}
