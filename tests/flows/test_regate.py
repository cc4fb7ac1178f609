"""A version's weights judged again on another runtime, over simulated engines."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from typing import Any

import pytest

from eval_suites import suite
from flows.again import gates_behind
from registry.blobs import BlobStore
from registry.counting import Case
from registry.evidence import evidence_about
from registry.key_ring import load_trust
from registry.manifests import load_manifest
from registry.publish import get_version, list_versions
from tests.simulators.project import ENGINES, Project, asked, released


@pytest.fixture
def place(place: Project) -> Project:
    """A project whose engines can be upgraded, and its first version."""
    shutil.copy(ENGINES.parent / "engine.py", place.folder)
    place.push()
    return place.with_engines(place.other_engines()).together()


def upgrade(place: Project, lost: float) -> None:
    """Another runtime, that costs so much accuracy."""
    (place.engines / "upgrade.json").write_text(json.dumps({"lost": lost}))


def keep_runtime(place: Project) -> None:
    """The runtime of before an upgrade is left on this machine."""
    (record,) = (place.home.cache / "runtimes").iterdir()
    before = place.folder / "python-before"
    before.write_text(f'#!/bin/sh\nBEFORE_UPGRADE=1 exec {record.read_text()} "$@"\n')
    before.chmod(0o755)
    record.write_text(str(before))


def regate(place: Project, version: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of ``headgate regate``."""
    code, out, err = place.command("regate", version, "--json", *arguments)
    assert "Traceback" not in err
    return code, json.loads(out.splitlines()[-1])


def by_spec(place: Project, **sections: dict[str, Any]) -> tuple[str, str]:
    """The arguments that name the spec."""
    return "--spec", str(place.write_spec(**sections))


def stages(place: Project) -> list[str]:
    """The names of the logs of the newest run."""
    newest = max(place.home.runs.iterdir(), key=lambda run: run.stat().st_mtime_ns)
    return sorted(path.stem for path in newest.glob("*.log"))


def test_the_same_weights_on_another_runtime_are_a_new_version_once(place: Project) -> None:
    """Nothing is fetched or quantized; all evidence is there; the second time there is nothing to do."""
    released(place)
    upgrade(place, 0.0)
    asked = len(place.hub.requests)
    code, result = regate(place, "tiny/1", *by_spec(place))
    assert (code, result["version"], result["regated"]) == (0, "tiny/2", "tiny/1")
    assert len(place.hub.requests) == asked
    assert "quantize" not in stages(place)
    old, new = get_version(place.store, "tiny/1"), get_version(place.store, "tiny/2")
    assert (new.weights_set, new.recipe, new.serve, new.source_set) == (
        old.weights_set,
        old.recipe,
        old.serve,
        old.source_set,
    )
    assert new.runtime != old.runtime
    kinds = {e.kind for e in evidence_about(place.store, new, load_trust(place.home))}
    assert {"fetch", "quantize", "sanity", "quality", "scan", "release"} <= kinds
    keyed = {"name": "api", "url": "https://api.example/v1", "model": "big", "key_env": "UNSET_API_KEY"}
    for version, apis in (("tiny/1", []), ("tiny/2", [keyed])):  # none is asked, so no key is missing
        code, again = regate(place, version, *by_spec(place, evaluate={"compare": apis}))
        assert (code, again["version"], again["note"]) == (0, "tiny/2", "already judged on this runtime")
    code, _, err = place.command("regate", "tiny/1", *by_spec(place))
    assert (code, "tiny/2: already judged on this runtime." in err) == (0, True)
    assert len(list_versions(place.store)) == 2
    code, _, err = place.command("promote", "tiny/2", *by_spec(place))
    assert code == 0, err


def test_what_was_not_asked_yet_is_asked_on_the_same_runtime(place: Project) -> None:
    """Another suite is other evidence on the version that there is."""
    released(place)
    shutil.copy(place.folder / "items.jsonl", place.folder / "other.jsonl")
    text = (place.folder / "suite.yaml").read_text()
    other = place.folder / "other.yaml"
    other.write_text(text.replace("name: tests", "name: other"))
    code, result = regate(place, "tiny/1", *by_spec(place), "--suite", str(other))
    assert (code, result["version"], result["verdicts"]["quality"]) == (0, "tiny/1", "pass")
    code, again = regate(place, "tiny/1", *by_spec(place), "--suite", str(other))
    assert (code, again["note"]) == (0, "already judged on this runtime")


def test_another_seed_or_limit_is_asked_on_the_same_runtime(place: Project) -> None:
    """What was judged by others is no answer; the same question again has one."""
    asked: dict[str, Any] = {"seed": 3, "fidelity": {"max_kl": 0.5, "min_agreement": 0.5}}
    released(place, evaluate=asked)
    for change in ({"seed": 7}, {"fidelity": {"max_kl": 0.6, "min_agreement": 0.5}}):
        asked |= change
        code, judged = regate(place, "tiny/1", *by_spec(place, evaluate=asked))
        assert (code, judged["version"], judged["verdicts"]["quality"]) == (0, "tiny/1", "pass")
        code, again = regate(place, "tiny/1", *by_spec(place, evaluate=asked))
        assert (code, again["note"]) == (0, "already judged on this runtime")


@pytest.mark.parametrize(("live", "beside"), [(True, "production"), (False, "before")])
def test_a_runtime_that_serves_worse_is_refused(place: Project, live: bool, beside: str) -> None:
    """Compared with what users have; where nothing is live, with what the version was when it was judged."""
    released(place, evaluate={"seed": 7}, rollout={"auto": live})
    upgrade(place, 0.3)
    code, result = regate(place, "tiny/1", *by_spec(place, evaluate={"seed": 7}))
    assert (code, result["error"]["kind"]) == (10, "GateFailed")
    assert f"against {beside}" in result["error"]["why"]
    assert len(list_versions(place.store)) == 1


@pytest.mark.parametrize(("live", "beside"), [(True, "production"), (False, "before")])
def test_a_loss_that_too_few_items_of_before_place_says_what_limits(
    place: Project, live: bool, beside: str
) -> None:
    """It was let through early and nobody can ask it more, so the candidate is asked no more either."""
    place.push(evaluate_seconds=2)
    released(place, rollout={"auto": live})
    upgrade(place, 0.02)
    code, result = regate(place, "tiny/1", *by_spec(place))
    assert (code, result["error"]["kind"]) == (13, "Inconclusive")
    assert f"{beside} was asked no more, and its runtime is gone from this machine" in result["error"]["why"]
    assert asked(place) == [("source", 2, 2), ("candidate", 2, 1)]
    code, result = regate(place, "tiny/1", *by_spec(place, evaluate={"seed": 1}))
    assert (code, result["version"]) == (0, "tiny/2")


def test_a_runtime_that_is_still_here_is_asked_the_rest(place: Project) -> None:
    """An upgrade leaves it on the machine, so that what the new one loses can be placed."""
    place.push(evaluate_seconds=2)
    released(place, rollout={"auto": True})
    keep_runtime(place)
    upgrade(place, 0.02)
    code, result = regate(place, "tiny/1", *by_spec(place))
    assert (code, result["version"]) == (0, "tiny/2")
    assert asked(place) == [("source", 2, 2), ("candidate", 2, 2), ("production", 1, 1)]


def test_another_model_is_compared_with_production_on_the_runtime_that_is_here(place: Project) -> None:
    """When what is kept of it is too little, and its own runtime gone; the finding says which it was."""
    place.push(evaluate_seconds=2)
    released(place, rollout={"auto": True})
    upgrade(place, 0.0)
    place.push(accuracy=0.93, evaluate_seconds=2)
    version = get_version(place.store, released(place)["version"])
    found = evidence_about(place.store, version, load_trust(place.home))
    (verdict,) = (e.verdict for e in found if e.kind == "quality" and e.verdict)
    assert [finding.name for finding in verdict.findings] == [
        "source/items",
        "production-on-new-runtime/items",
    ]
    assert asked(place)[-1] == ("production-on-new-runtime", 2, 2)


def test_what_is_live_is_not_compared_with_itself(place: Project) -> None:
    """Nothing is kept of what it scored on a runtime that is gone; on the one here it is the candidate."""
    released(place, rollout={"auto": True})
    upgrade(place, 0.0)
    shutil.rmtree(place.home.cache / "report")
    code, _ = regate(place, "tiny/1", *by_spec(place))
    assert code == 0
    assert [model for model, _, _ in asked(place)] == ["source", "candidate"]


def test_what_cannot_be_judged_is_told(place: Project) -> None:
    """A version that is not there, a suite that evidence does not find, and a spec of another model."""
    released(place)
    code, result = regate(place, "tiny/2")
    assert (code, "There is no version tiny/2" in result["error"]["what"]) == (2, True)
    code, result = regate(place, "tiny/1")
    assert (code, "its suite tests is none" in result["error"]["why"]) == (2, True)
    assert "--suite" in result["error"]["next"]
    code, result = regate(place, "tiny/1", *by_spec(place, registry={"name": "other"}))
    assert (code, "releases other" in result["error"]["what"]) == (2, True)


def test_weights_that_are_gone_are_told(place: Project) -> None:
    """Without a weights store only another release brings them back."""
    released(place)
    upgrade(place, 0.0)
    weights = load_manifest(place.store, get_version(place.store, "tiny/1").weights_manifest)
    remove(place, weights.files["model.safetensors"].digest.hex)
    code, result = regate(place, "tiny/1", *by_spec(place))
    assert (code, result["error"]["what"]) == (2, "tiny/1 is not on this machine")
    assert "HEADGATE_WEIGHTS" in result["error"]["next"]


def test_a_source_that_is_gone_is_fetched_again(place: Project) -> None:
    """The weights are compared with it; the commit says which files it has to have."""
    released(place)
    upgrade(place, 0.0)
    source = load_manifest(place.store, get_version(place.store, "tiny/1").source_manifest)
    remove(place, source.files["model.safetensors"].digest.hex)
    code, result = regate(place, "tiny/1", *by_spec(place))
    assert (code, result["version"]) == (0, "tiny/2")
    assert result["fetched"]["the source"] > 0


def remove(place: Project, blob: str) -> None:
    """As garbage collection does."""
    blobs = BlobStore(place.home.blobs)
    (found,) = (digest for digest in blobs.digests() if digest.hex == blob)
    blobs.path(found).unlink()


def test_evidence_says_by_which_suite_limits_and_load_to_judge(
    place: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite by name and profile; what it does not say has defaults."""
    limits: dict[str, Any] = {"max_kl": 0.5, "min_agreement": 0.5, "max_perplexity_ratio": 1.9}
    released(place, evaluate={"suite": "smoke", "profile": "strict", "seed": 7, "fidelity": limits})
    version, trust = get_version(place.store, "tiny/1"), load_trust(place.home)
    found = tuple(evidence_about(place.store, version, trust))
    gates = gates_behind(Case(version, found, datetime.now(UTC), trust))
    told = gates.evaluate
    assert (told.suite, told.profile, told.seed, gates.load) == ("smoke", "strict", 7, None)
    assert told.fidelity is not None
    assert told.fidelity.model_dump() == limits
    released(place, registry={"name": "other"}, evaluate={"seed": 3})  # another spec, the same weights
    found = tuple(evidence_about(place.store, version, trust))
    assert gates_behind(Case(version, found, datetime.now(UTC), trust)) == gates
    code, again = regate(place, "tiny/1")
    assert (code, again["note"]) == (0, "already judged on this runtime")
    changed = place.folder / "shipped"
    changed.mkdir()
    shutil.copy(suite.SHIPPED / "smoke.jsonl", changed)
    text = (suite.SHIPPED / "smoke.yaml").read_text()
    (changed / "smoke.yaml").write_text(re.sub(r"(?m)^alpha: .*$", "alpha: 0.01", text))
    monkeypatch.setattr(suite, "SHIPPED", changed)
    code, result = regate(place, "tiny/1")
    assert (code, "not the one that tiny/1 was judged by" in result["error"]["what"]) == (2, True)
