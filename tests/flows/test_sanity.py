"""The sanity gate end to end over simulated engines: broken weights cost no evaluation."""

from __future__ import annotations

import json
import shutil

import pytest

from registry.evidence import list_evidence
from registry.key_ring import load_trust
from registry.publish import get_version, list_versions
from tests.simulators.project import ENGINES, Project, failed, released


@pytest.fixture
def place(place: Project) -> Project:
    """One process for all of a test's commands: what they keep between them is test_release_command's."""
    return place.together()


def logs(place: Project) -> set[str]:
    """The names of the logs of the newest run."""
    return {path.stem for path in max(place.home.runs.iterdir()).glob("*.log")}


def test_a_release_carries_what_the_sanity_gate_saw(place: Project) -> None:
    """Signed, on the release, since answers are the runtime's too: files and answers in one verdict."""
    place.push()
    version = get_version(place.store, released(place)["version"])
    found = list_evidence(place.store, version.release_digest, load_trust(place.home))
    (said,) = (evidence for evidence in found if evidence.kind == "sanity")
    assert said.verdict is not None
    assert said.verdict.passed
    assert {"layers", "config.json", "stuck answers"} <= {f.name for f in said.verdict.findings}
    assert said.facts["prompts"].startswith("sha256:")


def test_a_quantizer_that_loses_a_file_starts_no_server(place: Project) -> None:
    """Exit code 10 within seconds: nothing was served, nothing published."""
    place.push()
    engine = place.other_engines() / "awq_autoawq.py"
    lose = '    (output / "tokenizer.json").unlink()\n    groups ='
    engine.write_text(engine.read_text().replace("    groups =", lose, 1))
    code, error = failed(place.with_engines(engine.parent))
    assert (code, error["kind"]) == (10, "GateFailed")
    assert "tokenizer.json is missing" in error["why"]
    assert not {log for log in logs(place) if log.startswith("serve")}
    assert list_versions(place.store) == []


def test_weights_that_stutter_where_the_source_speaks_are_refused(place: Project) -> None:
    """Also where the suite would not have noticed: it was not even asked."""
    place.push(serve_quantized=["--stutter"])
    code, error = failed(place)
    assert (code, error["kind"]) == (10, "GateFailed")
    asked = {json.loads(p.read_text())["model"] for p in place.home.runs.rglob("*evaluate*/request.json")}
    assert asked == {"source"}
    assert "stuck answers: 24 of 24, and 0 of the source" in error["why"]
    assert list_versions(place.store) == []


def test_a_source_that_stutters_itself_is_no_fault_of_the_recipe(place: Project) -> None:
    """Nothing is proven against the weights; whether the model is any good is for the quality gate."""
    place.push(serve=["--stutter"])
    released(place)


def test_another_recipe_is_tried_after_weights_that_make_no_sense(place: Project) -> None:
    """The fallback ships, and the first is named with its reason."""
    place.push()
    shutil.copy(ENGINES.parent / "engine.py", place.folder)
    engine = place.other_engines() / "awq_autoawq.py"
    lose = '    if request["group_size"] == 128:\n        (output / "tokenizer.json").unlink()\n    groups ='
    engine.write_text(engine.read_text().replace("    groups =", lose, 1))
    result = released(place.with_engines(engine.parent), quantize={"fallbacks": [{"group_size": 64}]})
    assert "tokenizer.json is missing" in result["rejected"][0]["why"]
    first, second = (max(place.home.runs.iterdir()) / name for name in ("gate.html", "gate-2.html"))
    assert "tokenizer.json is missing" in first.read_text()
    assert result["page"] == str(second)
