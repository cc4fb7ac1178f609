"""Releases end to end over simulated engines: real Prefect, registry, Trivy, supervisor and Envoy."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.alias_log import get_aliases
from registry.digest import Digest
from registry.key_ring import load_trust
from registry.publish import list_versions
from registry.stage_cache import StageCache
from tests.simulators.project import ENGINES, Project, failed, released


def test_the_same_release_again_is_the_same_version_and_runs_no_engine(place: Project) -> None:
    """A second identical release finds every stage's result."""
    place.push()
    first = released(place)
    second = released(place.together())  # as this process never saw the first
    assert first["version"] == second["version"] == "tiny/1"
    assert first["digests"] == second["digests"]
    assert first["verdicts"] == {"sanity": "pass", "quality": "pass", "scan": "error"}
    assert "accepted until" in first["scan"]
    for result in (first, second):
        assert "120 of 240 items" in (page := Path(result["page"]).read_text())
        assert page.index("Passed") < page.index("1. sanity") < page.index("2. quality")
    assert get_aliases(place.store, load_trust(place.home), "tiny", "cpu").candidate == 1
    logs = [{p.name for p in run.glob("*.log")} for run in sorted(place.home.runs.iterdir())]
    assert "quantize.log" in logs[0]
    assert not {"quantize.log", "evaluate.log", "serve-candidate.log"} & logs[-1]


def test_a_policy_that_wants_fresh_evidence_has_it_measured_again(place: Project) -> None:
    """Old figures are not signed with a new date: the server runs once more."""
    place = place.together()
    place.push()
    released(place)
    place.home.policy.write_text("production: [{kind: quality, max_age: 30d}]\n")
    for entry in (place.home.cache / "evaluate").iterdir():
        known = json.loads(entry.read_bytes())["result"]
        StageCache(place.home.cache).put(
            "evaluate", Digest(entry.stem), {**known, "at": "2026-01-01T00:00:00+00:00"}
        )
    released(place)
    logs = {p.name for p in max(place.home.runs.iterdir()).glob("*.log")}
    assert "serve-candidate.log" in logs
    assert "quantize.log" not in logs


def test_a_worse_model_is_refused_and_nothing_is_published(place: Project) -> None:
    """The quality gate's fail is exit code 10, with the reason, and a page that shows every flip."""
    place.push(lost=0.3)
    code, error = failed(place.together())
    assert (code, error["kind"]) == (10, "GateFailed")
    assert "more than the margin" in error["why"]
    assert list_versions(place.store) == []
    page = (max(place.home.runs.iterdir()) / "gate.html").read_text()
    assert f"open {max(place.home.runs.iterdir()) / 'gate.html'}" in error["next"]
    assert "Failed" in page
    assert "against source" in page
    assert page.count("&lt;b&gt;wrong&lt;/b&gt;") > 20
    assert "not kept" not in page


def test_a_model_that_knows_nothing_is_inconclusive(place: Project) -> None:
    """No better than guessing before and after is never a pass."""
    place.push(accuracy=0.0)
    code, error = failed(place.together())
    assert (code, error["kind"]) == (13, "Inconclusive")


def test_a_scan_without_database_stops_a_release_without_waiver(place: Project) -> None:
    """An error of the scanner is infrastructure, not a bad model, and publishes nothing."""
    place.push()
    code, error = failed(place.together(), scan={"waiver": None})
    assert (code, error["kind"]) == (40, "InfrastructureError")
    assert list_versions(place.store) == []


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("quantize", {"bitts": 4}, "quantize.bitts"),
        ("rollout", {"weights": [50, 20]}, "weights"),
    ],
)
def test_a_mistake_in_the_spec_is_named_before_anything_is_fetched(
    place: Project, section: str, values: dict[str, Any], named: str
) -> None:
    """Exit code 2, the key's full path, and no request to the hub."""
    code, error = failed(place.together(), **{section: values})
    assert code == 2
    assert named in " ".join(error.values())
    assert place.hub.requests == []


def test_an_unknown_model_is_named_with_the_hub_that_does_not_have_it(place: Project) -> None:
    """A typo in the model's name is a usage error, not a crash."""
    code, error = failed(place.together(), model={"uri": "hf://acme/absent"})
    assert code == 2
    assert "acme/absent" in error["what"]


def test_a_runtime_that_serves_worse_is_refused_for_the_same_weights(place: Project) -> None:
    """After an upgrade the candidate is compared with what users have: the old runtime's answers."""
    upgraded = replace(place, engines=place.folder / "engines")
    shutil.copytree(ENGINES, upgraded.engines)
    shutil.copy(ENGINES.parent / "engine.py", place.folder)
    place.push()
    released(upgraded, rollout={"auto": True})
    (upgraded.engines / "upgrade.json").write_text(json.dumps({"lost": 0.3}))
    code, error = failed(upgraded.together())
    assert (code, error["kind"]) == (10, "GateFailed")
    assert "against production" in error["why"]
    (upgraded.engines / "upgrade.json").write_text(json.dumps({"lost": 0.0}))
    assert released(upgraded.together())["version"] == "tiny/2"


def test_a_port_in_use_is_named(place: Project) -> None:
    """The gateway's port belongs to another program: said before anything is fetched."""
    place.push()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", place.port))
        taken.listen()
        code, error = failed(place.together(), rollout={"auto": True})
    assert code == 2
    assert str(place.port) in error["what"]
    assert place.hub.requests == []
    assert place.processes() == []
