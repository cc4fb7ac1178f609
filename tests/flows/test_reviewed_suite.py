"""Releases whose answers people judge, over simulated engines: the sheet, what they say, the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.digest import Digest
from registry.evidence import Evidence, list_evidence
from registry.key_ring import load_trust
from registry.publish import get_version
from tests.simulators.project import Project, failed, released


@pytest.fixture
def place(place: Project) -> Project:
    """A project whose suite has one task, of 240 prompts in two looks, that people judge."""
    task = {"name": "opinions", "dataset": "items.jsonl", "prompt": "Say {{q}}", "metric": "verdict"}
    suite = {"name": "judged", "description": "Opinions.", "tasks": [{**task, "margin": 0.05}]}
    (place.folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    return place.together()


def newest_run(place: Project) -> Path:
    """The folder of the last command."""
    return max(place.home.runs.iterdir(), key=lambda run: run.stat().st_mtime_ns)


def sheet(place: Project) -> list[dict[str, Any]]:
    """The lines that the last command left for people."""
    return [json.loads(line) for line in (newest_run(place) / "review.jsonl").read_text().splitlines()]


def fill_in(place: Project, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Append them to the reviews, "right" being good; returns the section that names the file."""
    verdicts = {"right": "good", "wrong": "bad"}
    with (place.folder / "reviews.jsonl").open("a") as file:
        file.writelines(f"{json.dumps({**line, 'verdict': verdicts[line['answer']]})}\n" for line in lines)
    return {"reviews": "reviews.jsonl"}


def passes(place: Project) -> list[Evidence]:
    """The quality gate's evidence for the first version."""
    version = get_version(place.store, "tiny/1")
    found = list_evidence(place.store, version.release_digest, load_trust(place.home))
    return [e for e in found if e.kind == "quality" and e.verdict and e.verdict.passed]


def test_people_judge_a_sheet_and_the_release_goes_on(place: Project) -> None:
    """The sheet has the first look's answers, each once, and no word of a model; nothing is asked again."""
    place.push()
    code, error = failed(place)
    assert code == 13
    assert "people have to judge 120 answers first (`verdict`)" in error["why"]
    assert error["review"] == str(newest_run(place) / "review.jsonl")
    assert f"null of {error['review']}, name the file as evaluate.reviews, and run" in error["next"]
    assert error["page"] == str(newest_run(place) / "gate.html")
    lines = sheet(place)
    assert len({(line["prompt"], line["answer"]) for line in lines}) == len(lines) == 120
    assert all(line == {**line, "verdict": None} and len(line) == 3 for line in lines)
    assert [line["prompt"] for line in lines] != sorted(line["prompt"] for line in lines)

    half = fill_in(place, lines[:60])
    code, error = failed(place, evaluate=half)
    assert (code, len(sheet(place))) == (13, 60)
    assert "people have to judge 60 answers first" in error["why"]
    assert f"append its lines to {place.folder / 'reviews.jsonl'}, and run" in error["next"]

    named = fill_in(place, sheet(place))
    assert released(place, evaluate=named)["version"] == "tiny/1"
    assert not list(newest_run(place).glob("*lm_eval*"))
    (said,) = passes(place)
    assert said.facts["reviews"] == str(Digest.of_file(place.folder / "reviews.jsonl"))


def test_a_worse_candidate_is_rejected_by_what_people_say(place: Project) -> None:
    """They see answers of the source and of the candidate, and do not know which is which."""
    place.push(lost=0.3)
    assert failed(place)[0] == 13
    lines = sheet(place)
    assert 120 < len(lines) < 240
    code, error = failed(place, evaluate=fill_in(place, lines))
    assert (code, error["kind"]) == (10, "GateFailed")
    assert "opinions against source: " in error["why"]


def test_people_are_asked_for_another_look_when_the_first_does_not_decide(place: Project) -> None:
    """Only what is new is in the second sheet; what was judged stays judged."""
    place.push(lost=0.03)
    assert failed(place)[0] == 13
    first = sheet(place)
    named = fill_in(place, first)
    code, error = failed(place, evaluate=named)
    second = sheet(place)
    assert code == 13
    assert "in 120 of 240 items" in error["why"]
    assert {line["prompt"] for line in first}.isdisjoint(line["prompt"] for line in second)
    assert len({line["prompt"] for line in (*first, *second)}) == 240
    released(place, evaluate=fill_in(place, second))
    assert "in 240 items" in str(passes(place))
    assert not (newest_run(place) / "review.jsonl").exists()


def test_what_changed_in_the_reviews_is_judged_anew(place: Project) -> None:
    """The same reviews judged this release already; others are other evidence."""
    place.push()
    failed(place)
    named = fill_in(place, sheet(place))
    released(place, evaluate=named)
    arguments = ("regate", "tiny/1", "--json", "--spec", str(place.write_spec(evaluate=named)))
    code, out, _ = place.command(*arguments)
    assert (code, json.loads(out.splitlines()[-1])["note"]) == (0, "already judged on this runtime")
    more = {"prompt": "Say item 0", "answer": "right", "verdict": 0.9, "reviewer": "Ada"}
    with (place.folder / "reviews.jsonl").open("a") as file:
        file.write(json.dumps(more) + "\n")
    code, out, _ = place.command(*arguments)
    assert (code, json.loads(out.splitlines()[-1])["version"]) == (0, "tiny/1")
    assert len({evidence.facts["reviews"] for evidence in passes(place)}) == 2
    code, out, _ = place.command("regate", "tiny/1", "--json")
    assert (code, "people judged" in json.loads(out.splitlines()[-1])["error"]["why"]) == (2, True)
    code, out, _ = place.command("regate", "tiny/1", "--json", "--spec", str(place.write_spec()))
    assert code == 13  # without their word nothing is judged


def test_reviews_of_other_answers_are_told(place: Project) -> None:
    """They may be of another model, or of older prompts; a wrong file is told before any download."""
    place.push()
    (place.folder / "reviews.jsonl").write_text('{"prompt": "Say what?", "answer": "no", "verdict": "bad"}\n')
    code, error = failed(place, evaluate={"reviews": "reviews.jsonl"})
    assert code == 13
    assert "none of the 1 answers in evaluate.reviews is the candidate's or a baseline's" in error["next"]
    place.hub.requests.clear()
    code, error = failed(place, evaluate={"reviews": "gone.jsonl"})
    assert (code, "gone.jsonl cannot be read" in error["what"]) == (2, True)
    assert place.hub.requests == []


def test_no_api_is_asked_what_people_judge(place: Project) -> None:
    """Nobody would judge its answers: the page says so, and the API costs nothing."""
    place.push()
    failed(place)
    named = fill_in(place, sheet(place))
    api = {"name": "frontier", "url": "http://127.0.0.1:9/v1", "model": "big-1"}
    page = Path(released(place, evaluate={**named, "compare": [api]})["page"]).read_text()
    assert "not comparable: people judge its answers" in page
    assert "could not be asked" not in page
