"""``headgate fetch`` end to end: what it would take, and that a release finds it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.simulators.hub import Answer
from tests.simulators.project import Project, released


def fetched(place: Project, *arguments: str, **sections: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a fetch."""
    code, out, err = place.command("fetch", str(place.write_spec(**sections)), "--json", *arguments)
    assert "Traceback" not in err
    return code, json.loads(out.splitlines()[-1])


def transfers(place: Project) -> list[str]:
    """The files that were asked for."""
    return [r for r in place.hub.requests if r.startswith("GET") and "/resolve/" in r]


def test_a_plan_counts_bytes_and_transfers_none(place: Project) -> None:
    """Files, commit, room on the disk: all from the listing."""
    commit = place.push()
    code, plan = fetched(place.together(), "--dry-run")
    assert (code, plan["commit"]) == (0, commit)
    assert plan["to_transfer"] == plan["bytes"] == sum(plan["files"].values())
    assert plan["on_this_machine"] == 0
    assert plan["free"] > plan["bytes"]
    assert transfers(place) == []


def test_what_was_fetched_is_here_for_a_release(place: Project) -> None:
    """It is transferred once; a plan after it has nothing to transfer but what names the licence."""
    place.push_with({"README.md": b"---\nlicense: mit\n---\n"})
    code, result = fetched(place)
    assert (code, result["licence"]) == (0, "mit")
    place.hub.requests.clear()
    released(place.together())
    assert transfers(place) == []
    _, plan = fetched(place.together(), "--dry-run")
    assert "model.safetensors" in plan["files"]
    assert plan["on_this_machine"] >= plan["files"]["model.safetensors"]


def test_a_model_larger_than_the_disk_is_said_in_the_plan(place: Project) -> None:
    """The listing's sizes are enough."""
    place.push()
    place.hub.lie = petabytes
    code, result = fetched(place.together(), "--dry-run")
    assert code == 40
    assert "there is no room" in result["error"]["what"]


def petabytes(path: str, answer: Answer) -> Answer:
    """A listing in which every file is huge."""
    if "/tree/" not in path:
        return answer
    entries = json.loads(answer.body)
    for entry in entries:
        entry["size"] = 10**15
        entry.get("lfs", {})["size"] = 10**15
    return replace(answer, body=json.dumps(entries).encode())
