"""A release beside an API, over simulated engines: shown, never judged by, and the key is nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect import flow
from prefect.blocks.system import Secret

from registry.evidence import list_evidence
from registry.home import Home
from registry.key_ring import load_trust
from registry.publish import get_version
from tasks.run import open_run
from tasks.summary import write_report
from tasks.workplace import Workplace
from tests.simulators.chat import Chat, Messages, serving_chat
from tests.simulators.project import Project, failed, released

KEY = "sk-0123456789abcdef"
ITEMS = 240


def knows(messages: Messages) -> str:
    """The answer to nine of ten items."""
    number = messages[0]["content"].removeprefix("item ")
    return number if int(number) % 10 else "?"


@pytest.fixture
def place(place: Project) -> Project:
    """A project with a model on its hub, and a margin that takes both looks of the suite to decide."""
    place.push()
    suite = yaml.safe_load((place.folder / "suite.yaml").read_text())
    suite["tasks"][0]["margin"] = 0.025
    (place.folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    return place.together()


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Chat:
    """An API that wants the key, which is in the environment."""
    monkeypatch.setenv("FRONTIER_API_KEY", KEY)
    return Chat(answer=knows, key=KEY, name="big-1-0815")


def beside(url: str, **more: str) -> dict[str, dict[str, Any]]:
    """The spec's section that names it."""
    api = {"name": "frontier", "url": url, "model": "big-1", "key_env": "FRONTIER_API_KEY", **more}
    return {"evaluate": {"compare": [{k: v for k, v in api.items() if v}]}}


def facts(place: Project, reference: str) -> list[dict[str, Any]]:
    """What the newest evidence says of APIs."""
    release = get_version(place.store, reference).release_digest
    found = [e for e in list_evidence(place.store, release, load_trust(place.home)) if e.kind == "quality"]
    said: list[dict[str, Any]] = max(found, key=lambda e: e.facts["at"]).facts.get("beside", [])
    return said


def report(result: dict[str, Any]) -> str:
    """The gate's report."""
    return (Path(result["page"]).parent / "gate-report.md").read_text()


def holding(folder: Path, text: str) -> list[Path]:
    """The files with this text."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_a_release_is_shown_beside_an_api(place: Project, chat: Chat) -> None:
    """In the page, the report, and as facts; the key reaches the API and stays nowhere. Asked once a day."""
    with serving_chat(chat) as url:
        result = released(place, **beside(url))
        assert len(chat.asked) == ITEMS
        (api,) = facts(place, result["version"])
        assert (api["name"], api["model"], api["models"]) == ("frontier", "big-1", ["big-1-0815"])
        assert f"http://{api['host']}/v1" == url
        (task,) = api["tasks"]
        assert task["score"]["estimate"] == pytest.approx(0.9)
        assert task["difference"]["samples"] == ITEMS
        assert task["difference"]["lower"] < task["difference"]["estimate"] < task["difference"]["upper"]
        page = Path(result["page"]).read_text()
        assert "Beside frontier: for comparison, not judged" in page
        report = (Path(result["page"]).parent / "gate-report.md").read_text()
        assert "| items | 240 | 90.00 % (" in report
        assert "which answered as big-1-0815" in report
        released(place, **beside(url))
        assert len(chat.asked) == ITEMS
    assert holding(place.folder, KEY) == []
    artifacts = httpx.post(f"{place.api_url}/artifacts/filter", json={}).text
    assert "Beside frontier" in artifacts
    assert KEY not in artifacts


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((401, {}), "said 401. no, Bearer [redacted]."),
        (
            (302, {"Location": "https://elsewhere.example"}),
            "redirects. it leads to https://elsewhere.example",
        ),
    ],
)
def test_an_api_that_refuses_is_a_note(
    place: Project, chat: Chat, fault: tuple[int, dict[str, str]], said: str
) -> None:
    """The release goes on; the next try asks what this one did not."""
    with serving_chat(chat) as url:
        chat.faults = [fault]
        result = released(place, **beside(url))
        (api,) = facts(place, result["version"])
        assert (api["failed"], "failure" in api) == (True, False)  # signed for good, so no stranger's words
        assert f"It could not be asked: {api['host']} {said}" in report(result)
        assert f"It could not be asked: {api['host']} {said}" in Path(result["page"]).read_text()
        assert holding(place.folder, KEY) == []
        result = released(place, **beside(url))
        assert not facts(place, result["version"])[0]["failed"]


def test_what_was_answered_before_it_refused_is_kept(place: Project, chat: Chat) -> None:
    """Shown as far as it went; another try begins there."""
    with serving_chat(chat) as url:
        chat.faults = [(429, {})]
        chat.answer = lambda messages: knows(messages) if len(chat.asked) <= 200 else broke()

        def broke() -> str:
            chat.faults.append((403, {}))
            return "?"

        result = released(place, **beside(url))
        (api,) = facts(place, result["version"])
        assert "said 403" in report(result)
        assert api["tasks"][0]["score"]["samples"] == 120
        assert "It could not be asked to the end" in Path(result["page"]).read_text()
        chat.asked.clear()
        chat.faults.clear()
        chat.answer = knows
        result = released(place, **beside(url))
        assert len(chat.asked) == ITEMS - 120
        assert facts(place, result["version"])[0]["tasks"][0]["score"]["samples"] == ITEMS


def test_a_name_that_no_file_can_hold_ends_no_release(place: Project, chat: Chat) -> None:
    """Half a character: it is replaced where it comes in."""
    chat.name = "big\ud800"
    with serving_chat(chat) as url:
        result = released(place, **beside(url))
    assert facts(place, result["version"])[0]["models"] == ["big?"]


@pytest.mark.usefixtures("prefect_api")
def test_a_summary_is_written_whatever_is_in_it(tmp_path: Path) -> None:
    """What no file can hold is spelt out."""

    @flow
    def writes() -> str:
        with open_run(Home(tmp_path), "run") as run:
            return write_report(Workplace(run.home, {}, run), "gate-report", "half: \ud800\n").read_text()

    assert writes() == "half: \\ud800\n"


def test_a_candidate_that_fails_costs_nothing(place: Project, chat: Chat) -> None:
    """The API is asked after the suite has let it through, and never before."""
    place.push(lost=0.5)
    with serving_chat(chat) as url:
        assert failed(place, **beside(url))[0] == 10
    assert chat.asked == []


@pytest.mark.parametrize(
    ("key", "why"),
    [({"key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY is empty"), ({"key_env": "", "key_secret": "gone"}, "")],
)
def test_a_key_that_is_not_there_is_told_first(
    place: Project, chat: Chat, key: dict[str, str], why: str
) -> None:
    """Before anything is downloaded: no release should end in a surprise that the spec could tell."""
    code, error = failed(place, **beside("https://api.example.com/v1", **key))
    assert code == 2
    assert "evaluate.compare[frontier]" in json.dumps(error)
    assert why in error["why"]
    assert not [path for path in place.hub.requests if "acme/tiny" in path]


def test_the_key_may_be_a_prefect_secret(place: Project, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the block's name; and an API without a key is sent none."""
    monkeypatch.delenv("FRONTIER_API_KEY")
    Secret(value=f"{KEY}\n").save("frontier-key", overwrite=True)
    with serving_chat(chat) as url:
        result = released(place, **beside(url, key_env="", key_secret="frontier-key"))
        assert not facts(place, result["version"])[0]["failed"]
        result = released(place, **beside(url, key_env="", model="other"))
        assert "Incorrect API key provided: None" in report(result)


def test_a_task_that_ranks_is_not_comparable(place: Project, chat: Chat) -> None:
    """It says so, and is not asked; the others are."""
    suite = yaml.safe_load((place.folder / "suite.yaml").read_text())
    rows = [json.dumps({"q": f"item {n}", "c": [str(n), "x"], "a": str(n)}) for n in range(ITEMS)]
    (place.folder / "choices.jsonl").write_text("\n".join(rows))
    ranks = {"name": "ranks", "dataset": "choices.jsonl", "kind": "choices", "choices": "c", "metric": "acc"}
    suite["tasks"].append({**suite["tasks"][0], **ranks, "chance": 0.5})
    (place.folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    with serving_chat(chat) as url:
        result = released(place, **beside(url))
    assert len(chat.asked) == ITEMS
    notes = {task["task"]: task["note"] for task in facts(place, result["version"])[0]["tasks"]}
    assert notes["items"] == ""
    assert notes["ranks"].startswith("not comparable: it ranks answers by likelihood")
