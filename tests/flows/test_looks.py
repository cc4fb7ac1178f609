"""A suite is asked look by look over simulated engines: no further than it takes, and never twice."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from registry.evidence import Evidence, list_evidence
from registry.key_ring import load_trust
from registry.publish import get_version
from tests.simulators.project import Project, released, until


def asked(place: Project) -> list[tuple[str, int, int]]:
    """Per evaluation of the newest run: the model, how many looks it was to be asked, and how many it was."""
    newest = max(place.home.runs.iterdir())
    found = []
    for path in sorted(newest.glob("evaluate_lm_eval-*/request.json"), key=lambda p: p.stat().st_mtime):
        request: dict[str, Any] = json.loads(path.read_text())
        looks = list(Path(request["looks_dir"]).glob("*.json"))
        found.append((request["model"], len(request["looks"]), len(looks)))
    return found


def evidence(place: Project, reference: str) -> Evidence:
    """The quality gate's evidence on a version."""
    version = get_version(place.store, reference)
    found = list_evidence(place.store, version.release_digest, load_trust(place.home))
    (said,) = (e for e in found if e.kind == "quality")
    return said


def quality(place: Project, reference: str) -> list[str]:
    """What the quality gate's findings say of a version."""
    verdict = evidence(place, reference).verdict
    assert verdict is not None
    return [finding.message for finding in verdict.findings]


def test_a_candidate_is_asked_no_more_than_it_takes(place: Project) -> None:
    """The source is asked everything, as it serves many candidates; the candidate until it is decided."""
    place.push(evaluate_seconds=2)
    version = released(place)["version"]
    assert asked(place) == [("source", 2, 2), ("candidate", 2, 1)]
    assert all("in 120 of 240 items" in message for message in quality(place, version))


def test_an_evaluation_that_was_killed_asks_only_what_is_missing(place: Project) -> None:
    """What was scored before is kept, look by look."""
    place.push(evaluate_seconds=6)
    process = place.start("release", str(place.write_spec()), "--json")
    until(lambda: any(place.home.cache.glob("evaluate/*")))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    released(place)
    assert asked(place)[0] == ("source", 1, 1)


def test_production_is_asked_the_rest_when_a_candidate_takes_longer(place: Project) -> None:
    """It had been let through early; the bounds of the second look need as many items of both."""
    place.push(evaluate_seconds=2)
    released(place, rollout={"auto": True})
    place.push(accuracy=0.93, evaluate_seconds=2)
    version = released(place)["version"]
    assert asked(place) == [("source", 2, 2), ("candidate", 2, 2), ("production", 1, 1)]
    against_source, against_production = quality(place, version)
    assert "in 120 of 240 items" in against_source
    assert "in 240 items" in against_production


def test_the_strict_profile_judges_by_half_the_margin(place: Project) -> None:
    """It takes more looks, and is evidence by another suite than the standard one."""
    place.push()
    version = released(place, evaluate={"profile": "strict"})["version"]
    assert evidence(place, version).facts["suite"] == "tests-strict"
    assert all("within the margin of 2.5 points" in message for message in quality(place, version))
    assert all("one-sided 97.5 % bounds" in message for message in quality(place, version))
