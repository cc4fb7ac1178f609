"""The fidelity gate end to end over simulated engines: weights that predict something else cost no suite."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from eval_suites.fidelity import Limits
from eval_suites.gate_page import GatePage
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.digest import Digest
from registry.errors import GateFailed, Inconclusive, UsageError
from registry.evidence import Evidence, list_evidence
from registry.home import Home
from registry.key_ring import load_trust
from registry.publish import get_version
from tasks.record import record_fidelity
from tasks.run import open_run
from tasks.workplace import Workplace
from tests.simulators.project import Project, failed, released

COMPARED: dict[str, Any] = {"evaluate": {"fidelity": {}}}


@pytest.fixture
def place(place: Project) -> Project:
    """One process for all of a test's commands: what they keep between them is test_release_command's."""
    return place.together()


def asked(place: Project) -> list[str]:
    """The models that were asked the suite, in their order."""
    requests = sorted(place.home.runs.rglob("*lm_eval*/request.json"), key=lambda path: path.stat().st_mtime)
    return [json.loads(path.read_text())["model"] for path in requests]


def newest(place: Project) -> Path:
    """The folder of the newest run."""
    return max(place.home.runs.iterdir(), key=lambda run: run.stat().st_mtime_ns)


def probed(place: Project) -> dict[str, int]:
    """How many texts each model of the newest run was asked for."""
    logs = {path.stem.removeprefix("serve-"): path.read_text() for path in newest(place).glob("serve-*.log")}
    return {model: log.count("prompt_logprobs") for model, log in logs.items()}


def fidelity(place: Project, reference: str) -> Evidence | None:
    """What the fidelity gate said of a version."""
    version = get_version(place.store, reference)
    found = list_evidence(place.store, version.release_digest, load_trust(place.home))
    return next((evidence for evidence in found if evidence.kind == "fidelity"), None)


def test_a_release_carries_how_far_it_is_from_its_source(place: Project) -> None:
    """Signed, on the release, with the spec's limits; the source is asked twice and the candidate once.

    What they said are blobs that no version names, one for the source's two equal answers: garbage.
    """
    place.push(serve_quantized=["--forgets", "0.1"])
    result = released(place, evaluate={"fidelity": {"min_agreement": 0.5}})
    assert probed(place) == {"source": 480, "candidate": 240}
    assert result["verdicts"]["fidelity"] == "pass"
    said = fidelity(place, result["version"])
    assert said is not None
    assert said.verdict is not None
    assert {f.name: f.bound for f in said.verdict.findings}["fidelity/agreement"] == 0.5
    assert said.facts["limits"] == {"kl": 0.15, "agreement": 0.5, "perplexity": 1.15, "coverage": 0.9}
    assert (newest(place) / "fidelity-report.md").read_text().startswith("# Fidelity gate: pass")
    page = Path(result["page"]).read_text()
    assert page.index("1. sanity") < page.index("2. fidelity") < page.index("3. quality")
    assert page.count('class="bar"') > 1
    for blob in place.home.blobs.rglob("*"):
        os.utime(blob, (0, 0))
    code, out, err = place.command("gc", "--apply", "--json")
    assert code == 0, err
    assert [(k["kind"], k["count"]) for k in json.loads(out)["kinds"]] == [("blobs", 2)]


def test_damage_is_found_before_the_suite_is_asked(place: Project) -> None:
    """Also where the suite would not notice; the next recipe ships, and the source is not asked again."""
    place.push(serve_groups={"128": ["--forgets", "0.5"], "64": ["--nan"]})
    result = released(place, **COMPARED, quantize={"fallbacks": [{"group_size": 64}, {"group_size": 32}]})
    forgetful, without_numbers = result["rejected"]
    assert "same likeliest token" in forgetful["why"]
    assert "of the baseline in 0, of the candidate in 240" in without_numbers["why"]
    assert asked(place) == ["source", "candidate"]
    assert probed(place)["source"] == 480


@pytest.mark.usefixtures("prefect_api")
def test_only_the_model_s_own_fault_rejects_it(tmp_path: Path) -> None:
    """Other tokens are for the user to mend; what is not known leads to no other recipe."""

    @flow
    def ends(outcome: Outcome, failure: FailureClass | None) -> None:
        verdict = Verdict.of([Finding(name="x", outcome=outcome, message="because", failure_class=failure)])
        release = Digest.of_json([outcome, failure])
        page = GatePage(name="tiny", judged={"release": release})
        with open_run(Home(tmp_path), "run") as run:
            record_fidelity(Workplace(run.home, {}, run), page, release, release, Limits(), verdict)

    for outcome, failure, kind, then in (
        (Outcome.FAIL, FailureClass.MODEL, GateFailed, "another recipe or engine"),
        (Outcome.ERROR, FailureClass.MODEL, GateFailed, "another recipe or engine"),
        (Outcome.ERROR, FailureClass.CONFIG, UsageError, "mend what it names"),
        (Outcome.INCONCLUSIVE, None, Inconclusive, "a larger suite"),
    ):
        with pytest.raises(kind, match="because") as told:
            ends(outcome, failure)
        assert then in told.value.next_step


def test_after_a_crash_before_the_suite_no_text_is_asked_again(place: Project) -> None:
    """A server that dies after the last text: what it said until then is kept."""
    answered = 1 + 24 + 2 * 240  # whether it is there, the sanity gate's prompts, the texts
    place.push(serve=["--die-after", answered])
    assert failed(place, **COMPARED)[0] == 40
    released(place, **COMPARED)
    assert probed(place) == {"source": 0, "candidate": 240}
