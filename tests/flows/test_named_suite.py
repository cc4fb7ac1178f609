"""A release judged by a task of lm-eval's, over simulated engines: its code is allowed first, or refused."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.simulators.arc import REPOSITORY, arc_files
from tests.simulators.project import Project, released


def judge_by(place: Project, name: str) -> None:
    """Let the project's suite be this task of lm-eval, over 240 items."""
    task: dict[str, Any] = {
        "name": "arc",
        "lm_eval": name,
        "dataset_commit": place.hub.push(REPOSITORY, arc_files(items=240)),
        "few_shot": 0,
        "metric": "acc",
        "chance": 0.25,
        "margin": 0.05,
    }
    suite = {"name": "named", "description": "Named.", "tasks": [task]}
    (place.folder / "suite.yaml").write_text(yaml.safe_dump(suite))


def test_code_is_allowed_by_the_digest_that_its_refusal_prints(place: Project) -> None:
    """The refusal comes before the model is fetched; with the digest in the spec the same suite judges it."""
    place.push()
    judge_by(place, "arc_coded")
    code, out, _ = place.together().command("release", str(place.write_spec()), "--json")
    said = json.loads(out.splitlines()[-1])["error"]
    assert code == 2
    assert "arc/utils.process_docs" in said["what"]
    assert not [path for path in place.hub.requests if "acme/tiny" in path]

    digest = said["next"].partition("add ")[2].partition(" to evaluate.allow_code")[0]
    assert released(place, evaluate={"allow_code": [digest]})["version"] == "tiny/1"
    newest = max(place.home.runs.iterdir())
    requests = [json.loads(path.read_text()) for path in newest.glob("evaluate_lm_eval-*/request.json")]
    assert {request["named"][0]["lm_eval"] for request in requests} == {"arc_coded"}
