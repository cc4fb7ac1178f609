"""``headgate versions``, ``show`` and ``diff``: for people, for programs, and as a page."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from judging.verdict import Outcome
from registry.alias import Alias
from registry.alias_log import move_alias
from registry.blobs import BlobStore
from registry.digest import canonical_json
from registry.dir_store import DirStore
from registry.evidence import record
from registry.home import Home
from registry.key_ring import distrust_keys, load_trust
from registry.manifests import load_manifest, save_manifest
from registry.own_key import open_signer
from registry.publish import get_version, publish
from registry.version import ModelVersion
from tests.simulators.history import HOSTILE, evidence_of
from tests.simulators.records import digest, draft
from tests.simulators.released import release as publish_tiny
from tests.simulators.released import tiny_home


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with a key of its own for the command."""
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "my home"))
    return Home(tmp_path / "my home")


def release(home: Home, *, layers: int, alias: Alias = Alias.CANDIDATE, **changes: Any) -> ModelVersion:
    """A version with bytes, evidence and an alias."""
    store, blobs, signer = DirStore(home.store), BlobStore(home.blobs), open_signer({}, home)
    folder = home.root.parent / f"made-{layers}"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"layers": layers}))
    manifest = blobs.add_tree(folder)
    weights = {"weights_set": manifest.set_digest, "weights_manifest": save_manifest(store, manifest)}
    version = publish(store, draft(runtime=digest(f"runtime {layers}"), **weights))
    for evidence in evidence_of(version, day=layers, **changes):
        record(store, signer, evidence)
    move = {"name": version.name, "gpu_class": version.gpu_class, "alias": alias, "number": version.number}
    at = datetime(2026, 11, layers, tzinfo=UTC)
    move_alias(store, signer, load_trust(home), at=at, who="ada", why="[/] released", **move)
    return version


def publish_unjudged(home: Home) -> ModelVersion:
    """A version that no gate has seen."""
    store = DirStore(home.store)
    version = get_version(store, "tiny/1")
    return publish(store, draft(weights_set=version.weights_set, weights_manifest=version.weights_manifest))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a program is told."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_version_is_shown_with_its_history(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdict first, whole digests, findings, signers, moves; markup in foreign text is text."""
    version = release(home, layers=1, note=f"as good as before {HOSTILE}")
    assert main(["show", "tiny/1"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["tiny/1", "May", "be", "promoted", "candidate"]
    assert "as good as before" in shown
    assert "[/] released" in shown
    assert "\x1b" not in shown
    assert str(version.release_digest) in shown
    value = told(capsys, "show", "tiny/1")
    assert value["version"]["name"] == "tiny"
    assert value["aliases"] == ["candidate"]
    assert {node["title"]: node["mark"] for node in value["nodes"]}["quality quick"] == "pass"
    assert {e["kind"] for e in value["evidence"]} >= {"quality", "scan", "rollout"}
    assert value["moves"][0]["why"] == "[/] released"


def test_what_keeps_a_version_from_users_is_said(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """The policy's own sentences, before anything else; what was live is kept back by harm found since."""
    version = release(home, layers=1)
    for evidence in evidence_of(version, day=2, quality=Outcome.FAIL):
        record(DirStore(home.store), open_signer({}, home), evidence)
    value = told(capsys, "show", "tiny/1")
    assert value["standing"] == "May not be promoted"
    assert "fail" in value["missing"]["production"][0]
    assert main(["show", "tiny/1"]) == 0
    assert "what keeps it from staging and production" in capsys.readouterr().out


def test_a_page_is_written(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the file that was named, whose whole path is told; without the tree that the page is instead of."""
    release(home, layers=1)
    page = tmp_path / "tiny.html"
    monkeypatch.chdir(tmp_path)
    assert main(["show", "tiny/1", "--html", "tiny.html"]) == 0
    shown = capsys.readouterr()
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (shown.out, shown.err.strip()) == ("", f"The page is {page}.")
    assert told(capsys, "show", "tiny/1", "--html", "tiny.html")["html"] == str(page)


@pytest.mark.parametrize(
    ("named", "why"),
    [("reports/tiny.html", "there is no folder"), ("taken", "it is a folder"), ("-", "is for people")],
)
@pytest.mark.parametrize("option", ["--html", "--signature"])
def test_a_page_that_cannot_be_written_is_refused(
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    named: str,
    why: str,
) -> None:
    """No folder is made for a path that was mistyped, and no file is named after a dash."""
    release(home, layers=1)
    (tmp_path / "taken").mkdir()
    monkeypatch.chdir(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    assert main(["show", "tiny/1", option, named]) == 2
    shown = capsys.readouterr()
    assert (shown.out, why in shown.err) == ("", True)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_the_weights_signature_is_handed_to_other_peoples_verifier(tmp_path: Path) -> None:
    """``model_signing verify key`` accepts the file, with the key that `keys export` prints."""
    at = tiny_home(tmp_path / "my home")
    version = publish_tiny(at)
    weights = at.blobs.link_tree(load_manifest(at.store, version.weights_manifest), tmp_path / "weights")
    (tmp_path / "k.pub").write_text(at.trust.keys[0].pem)
    assert main(["show", version.reference, "--signature", str(tmp_path / "model.sig")]) == 0
    named = {"public_key": tmp_path / "k.pub", "signature": tmp_path / "model.sig"}
    options = [text for name, path in named.items() for text in (f"--{name}", str(path))]
    command = [sys.executable, "-m", "model_signing", "verify", "key", *options, str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_versions_are_listed_with_their_aliases(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """One look at the aliases for all of them."""
    release(home, layers=1, alias=Alias.PRODUCTION)
    release(home, layers=2, alias=Alias.PRODUCTION)
    listed = told(capsys, "versions")["versions"]
    assert [(v["number"], v["aliases"]) for v in listed] == [(1, ["previous"]), (2, ["production"])]
    assert main(["versions", "tiny"]) == 0
    assert "production" in capsys.readouterr().out
    assert told(capsys, "versions", "other")["versions"] == []


def test_versions_are_listed_when_their_aliases_cannot_be_believed(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which there are is known; what is live is not, and the exit code says so for programs."""
    release(home, layers=1)
    for key in load_trust(home).keys:
        distrust_keys(home, key.key_id)
    assert main(["versions"]) == 40
    output = capsys.readouterr()
    assert "tiny/1" in output.out
    assert "?" in output.out
    assert "candidate" not in output.out
    assert "headgate vouch" in output.err
    assert main(["versions", "--json"]) == 40
    answer = json.loads(capsys.readouterr().out.splitlines()[0])
    assert ([v["aliases"] for v in answer["versions"]], answer["ok"]) == ([None], False)
    assert "alias move audit/tiny/cpu/00000001.json cannot be believed" in answer["problems"][0]


def test_a_version_that_only_an_alias_names_is_missed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Its record and its index entry were removed."""
    release(home, layers=1)
    release(home, layers=2)
    store = DirStore(home.store)
    store.delete(f"versions-by-content/tiny/{get_version(store, 'tiny/2').content_digest.hex}")
    store.delete("versions/tiny/000002.json")
    assert main(["versions", "--json"]) == 40
    answer = json.loads(capsys.readouterr().out.splitlines()[0])
    assert answer["problems"] == ["The record of tiny/2 is gone from the store: `headgate verify tiny/2`."]


def test_a_model_of_which_no_record_is_left_is_named(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """No alias ever named it either: that it was published is all there is."""
    store = DirStore(home.store)
    publish(store, draft("other"))
    publish(store, draft())
    store.delete("versions/tiny/000001.json")
    assert main(["versions", "--json"]) == 40
    answer = json.loads(capsys.readouterr().out.splitlines()[0])
    assert [version["name"] for version in answer["versions"]] == ["other"]
    assert answer["problems"] == ["The record of tiny/1 is gone from the store: `headgate verify tiny/1`."]


@pytest.mark.parametrize("data", [None, b"{}", "altered"])
def test_a_record_that_is_gone_or_damaged_hides_no_other(
    home: Home, capsys: pytest.CaptureFixture[str], data: bytes | str | None
) -> None:
    """By every command that lists, also when nothing but an old move knows the version any more."""
    release(home, layers=1, alias=Alias.PRODUCTION)
    release(home, layers=2, alias=Alias.PRODUCTION)
    store = DirStore(home.store)
    record = home.store / "versions/tiny/000001.json"
    altered = json.loads(record.read_bytes()) | {"source_commit": "b" * 40}
    if data is None:
        store.delete(f"versions-by-content/tiny/{get_version(store, 'tiny/1').content_digest.hex}")
    record.unlink()
    if data:
        record.write_bytes(canonical_json(altered) if data == "altered" else b"{}")
    assert main(["versions", "--json"]) == 40
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    listed = {v["number"]: v["aliases"] for v in answer["versions"]}
    assert (listed[2], listed.get(1)) == (["production"], None)
    (problem,) = answer["problems"]
    assert "tiny/1" in problem or "versions/tiny/000001.json" in problem
    assert main(["history", "tiny", "--json"]) == 40
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(answer["moves"]) == 2
    assert "record" in answer["problems"][0]
    assert main(["versions"]) == 40
    assert "tiny/2" in capsys.readouterr().out
    if data == "altered":
        assert main(["show", "tiny/1", "--json"]) == 40
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["aliases"] == []


def test_a_version_that_is_exempt_from_the_policy_is_shown_as_such(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the terminal, on the page and for programs; a version that never was live is not."""
    release(home, layers=1, alias=Alias.PRODUCTION)
    release(home, layers=2, alias=Alias.PRODUCTION)
    release(home, layers=3)
    for arguments in (["show", "tiny/1"], ["show", "tiny/1", "--html", str(home.root / "page.html")]):
        assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("tiny/1  May be promoted, exempt from the policy  previous")
    sentence = "it is exempt from the policy: it was in production here, first on 2026-11-01 00:00 UTC"
    assert sentence in shown
    assert sentence in (home.root / "page.html").read_text()
    assert told(capsys, "show", "tiny/1")["exempt"].startswith(sentence)
    assert told(capsys, "show", "tiny/3")["exempt"] == ""
    assert told(capsys, "show", "tiny/3")["standing"] == "May be promoted"


def test_thousands_of_versions_are_listed_whole(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, the newest too."""
    store = DirStore(home.store)
    for number in range(1, 1003):
        record_of = draft(weights_set=digest(str(number))).numbered(number)
        (home.store / "versions" / "tiny").mkdir(parents=True, exist_ok=True)
        (home.store / "versions" / "tiny" / f"{number:06d}.json").write_bytes(
            canonical_json(record_of.to_json())
        )
    assert len(list(store.list("versions/"))) == 1002
    assert main(["versions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[0].split()[0], lines[-1].split()[0]) == (1003, "version", "tiny/1002")


def test_two_versions_are_compared(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Configuration by key, packages by version, gates one under the other."""
    release(home, layers=1, score=0.71)
    release(home, layers=2, score=0.74)
    value = told(capsys, "diff", "tiny/1", "tiny/2")
    assert value["changed"] == ["weights", "model configuration", "runtime packages"]
    assert value["sections"]["model configuration"]["changes"] == [
        {"what": "config.json: layers", "before": 1, "after": 2}
    ]
    scores = next(m for m in value["gates"] if m["name"] == "source/arith")
    assert (scores["before"]["candidate"], scores["after"]["candidate"]) == (0.71, 0.74)
    assert main(["diff", "tiny/1", "tiny/2"]) == 0
    assert "vllm" in capsys.readouterr().out
    assert main(["diff", "tiny/1", "tiny/1"]) == 0
    assert "are the same" in capsys.readouterr().err


def test_what_gates_measured_is_told_in_numbers(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Both scores, the bound and the sample, in a line for each version; a dash where a gate did not ask."""
    first = "98.20 % after 98.50 %; 3 flips in 400 items; within the margin of 1 points"
    second = "91.00 % after 98.50 %; 30 flips in 400 items; more than the margin of 1 points"
    release(home, layers=1, note=first)
    release(home, layers=2, note=second, quality=Outcome.FAIL)
    assert main(["diff", "tiny/1", "tiny/2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("quality source/arith")
    told = [f"  tiny/1  pass arith: {first}", f"  tiny/2  fail arith: {second}"]
    assert [line.rstrip() for line in lines[start + 1 : start + 3]] == told
    publish_unjudged(home)
    assert main(["diff", "tiny/1", "tiny/3"]) == 0
    assert "  tiny/3  -" in capsys.readouterr().out.splitlines()


def test_a_key_that_is_not_trusted_any_more_is_named(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """What it signed does not count, and the error says what to do."""
    release(home, layers=1)
    for key in load_trust(home).keys:
        distrust_keys(home, key.key_id)
    assert main(["show", "tiny/1"]) == 40
    assert "headgate keys trust" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["show", "tiny/9"], ["diff", "tiny/1", "tiny/9"], ["diff", "x", "y"]])
def test_an_absent_version_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With the next step, and no traceback."""
    assert main(arguments) == 2
    assert "Next" in capsys.readouterr().err
