"""A suite is asked look by look over simulated engines: no further than it takes, and never twice."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from eval_suites import plan
from registry.evidence import Evidence, list_evidence
from registry.key_ring import load_trust
from registry.publish import get_version
from tests.simulators.project import ENGINES, Project, asked, released, until


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


@pytest.mark.parametrize("part", ["evaluator", "plan"])
def test_what_production_scored_counts_only_if_the_same_would_be_asked_today(
    place: Project, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another evaluator scores every model lower, and another plan looks at other items: it is asked anew."""
    place = place.with_engines(place.other_engines()).together()
    shutil.copy(ENGINES.parent / "engine.py", place.folder)
    place.push()
    released(place, rollout={"auto": True})
    place.push(evaluate_seconds=1)
    if part == "evaluator":
        engine = place.engines / "evaluate_lm_eval.py"
        engine.write_text(engine.read_text().replace("accuracy = ", "accuracy = -0.3 + "))
    else:
        monkeypatch.setattr(plan, "FEWEST_ITEMS", 80)
    released(place)
    assert [model for model, _, _ in asked(place)] == ["source", "production", "candidate"]


def test_the_strict_profile_judges_by_half_the_margin(place: Project) -> None:
    """It takes more looks, and is evidence by another suite than the standard one."""
    place.push()
    version = released(place, evaluate={"profile": "strict"})["version"]
    assert evidence(place, version).facts["suite"] == "tests-strict"
    assert all("within the margin of 2.5 points" in message for message in quality(place, version))
    assert all("one-sided 97.5 % bounds" in message for message in quality(place, version))
