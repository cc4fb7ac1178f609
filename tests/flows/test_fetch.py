"""``headgate fetch`` end to end: what it would take, and that a release finds it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.simulators.hub import Answer
from tests.simulators.project import Project, model_files, released

INDEX = json.dumps({"weight_map": {"model.layers.0.mlp.down_proj.weight": "model.safetensors"}}).encode()


def fetched(place: Project, *arguments: str, **sections: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a fetch."""
    code, out, err = place.command("fetch", str(place.write_spec(**sections)), "--json", *arguments)
    assert "Traceback" not in err
    return code, json.loads(out.splitlines()[-1])


def transfers(place: Project) -> list[str]:
    """The files that were asked for."""
    return [r for r in place.hub.requests if r.startswith("GET") and "/resolve/" in r]


def test_a_plan_counts_bytes_and_transfers_no_weights(place: Project) -> None:
    """Files, commit, room on the disk: from the listing; the small files are judged, and not kept."""
    commit = place.push()
    code, plan = fetched(place.together(), "--dry-run")
    assert (code, plan["commit"]) == (0, commit)
    assert plan["to_transfer"] == plan["bytes"] == sum(plan["files"].values())
    assert plan["on_this_machine"] == 0
    assert plan["free"] > plan["bytes"]
    assert "weights" in plan["not_checked"]
    assert not any(request.endswith(".safetensors") for request in transfers(place))
    assert not [path for path in place.home.root.rglob("config.json") if path.is_file()]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"README.md": b"---\nlicense: cc-by-nc-4.0\n---\n"}, "cc-by-nc-4.0"),
        ({"config.json": b'{"auto_map": {"AutoModel": "evil.Model"}}'}, "its own Python code"),
        ({"config.json": b'\xef\xbb\xbf{"model_type": "llama"}'}, "byte order mark"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": "other.safetensors"}}'}, "no shard here"),
        (
            {"other.safetensors": b"", "x.safetensors.index.json": INDEX},
            "names no tensor of other.safetensors",
        ),
        ({"model-00001-of-00002.safetensors": b""}, "model-00002-of-00002.safetensors is not there"),
    ],
)
def test_a_plan_refuses_what_the_fetch_would_without_weights(
    place: Project, files: dict[str, bytes], said: str
) -> None:
    """Both with 10 and the same words, and neither transfers weights for it."""
    place = place.together()
    place.push_with(files)
    planned = fetched(
        place, "--dry-run", model={"licences": ["mit", "cc-by-4.0"]} if "README.md" in files else {}
    )
    real = fetched(place, model={"licences": ["mit", "cc-by-4.0"]} if "README.md" in files else {})
    assert planned[0] == real[0] == 10
    assert planned[1]["error"] == real[1]["error"]
    assert said in " ".join(planned[1]["error"].values())
    assert not any(request.endswith(".safetensors") for request in transfers(place))


def test_a_folder_has_no_revision_to_tell_of(place: Project) -> None:
    """What is resolved is the folder, and nothing more is said of it."""
    (place.folder / "model").mkdir()
    for path, data in model_files().items():
        (place.folder / "model" / path).write_bytes(data)
    spec = str(place.write_spec(model={"uri": "./model"}))
    code, _, err = place.together().command("fetch", spec, "--dry-run")
    assert code == 0
    assert f"resolving {(place.folder / 'model').as_uri()}" in err
    assert "@main" not in err


def test_what_was_fetched_is_here_for_a_release(place: Project) -> None:
    """It is transferred once; a plan after it has nothing to transfer, and knows what the weights hold."""
    place.push_with({"README.md": b"---\nlicense: mit\n---\n"})
    code, result = fetched(place)
    assert (code, result["licence"]) == (0, "mit")
    place.hub.requests.clear()
    released(place.together())
    assert transfers(place) == []
    _, plan = fetched(place.together(), "--dry-run")
    assert "model.safetensors" in plan["files"]
    assert (plan["to_transfer"], plan["on_this_machine"]) == (0, plan["bytes"])
    assert "weights" not in plan["not_checked"]
    code, refused = fetched(place.together(), "--dry-run", model={"licences": ["apache-2.0"]})
    assert (code, transfers(place)) == (10, [])
    assert "under the licence 'mit'" in refused["error"]["what"]


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


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fallbacks": [{"method": "gptq"}, {"method": "gptq"}]}, "is the same recipe as"),
        ({"calibration": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"samples": 4096}, "are too few"),
    ],
)
def test_recipes_that_can_never_be_followed_are_told_before_a_byte_comes(
    place: Project, arguments: list[str], change: dict[str, Any], said: str
) -> None:
    """As a release does, with 2: who fetches ahead of it learns of it ahead, too."""
    code, answer = fetched(place.together(), *arguments, quantize=change)
    assert code == 2
    assert said in json.dumps(answer["error"])
    assert transfers(place) == []
