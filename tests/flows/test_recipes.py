"""Recipes over simulated engines: which engine, what falls back, and whether it can be made again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from registry.publish import get_version, list_versions
from tests.simulators.project import Project, failed, released


@pytest.fixture
def place(place: Project) -> Project:
    """One process for all of a test's commands: what they keep between them is test_release_command's."""
    return place.together()


FALLBACKS = {"fallbacks": [{"group_size": 64}, {"group_size": 32}]}


def stages(place: Project) -> list[str]:
    """The names of the logs of the newest run."""
    newest = max(place.home.runs.iterdir())
    return sorted(path.stem for path in newest.glob("*.log"))


def test_a_rejected_recipe_is_followed_by_the_next(place: Project) -> None:
    """What the two share is done once, and the result says what was rejected and why."""
    place.push(lost_in_groups={"128": 0.3})
    result = released(place, quantize=FALLBACKS)
    assert get_version(place.store, result["version"]).recipe["group_size"] == 64
    (rejected,) = result["rejected"]
    assert rejected["recipe"]["group_size"] == 128
    assert "more than the margin" in rejected["why"]
    assert rejected["next"].endswith("gate.html")
    assert [log for log in stages(place) if "source" in log] == ["serve-source"]


def test_a_first_recipe_that_passes_needs_no_other(place: Project) -> None:
    """Fallbacks cost nothing then."""
    place.push(lost_in_groups={"64": 0.3})
    result = released(place, quantize=FALLBACKS)
    assert "rejected" not in result
    assert get_version(place.store, result["version"]).recipe["group_size"] == 128


def test_when_every_recipe_is_rejected_the_error_names_each(place: Project) -> None:
    """Exit code 10, nothing is published."""
    place.push(lost=0.3)
    code, error = failed(place, quantize=FALLBACKS)
    assert (code, error["kind"]) == (10, "GateFailed")
    assert "all 3 recipes were rejected" in error["what"]
    assert all(f"groups of {size}" in error["why"] for size in (128, 64, 32))
    assert list_versions(place.store) == []


def test_a_fallback_that_does_not_fit_the_model_is_said_before_the_first_is_tried(place: Project) -> None:
    """A spec that only turns out wrong after an hour is no spec."""
    place.push_with({"config.json": b'{"architectures": ["OPTForCausalLM"], "model_type": "opt"}'})
    code, error = failed(place, quantize={"fallbacks": [{"engine": "llm-compressor"}]})
    assert code == 2
    assert "no layer mapping for a OPTForCausalLM" in error["why"]
    assert "quantize" not in stages(place)


@pytest.mark.parametrize("recipe", [{}, {"fallbacks": [{"group_size": 64, "ignore": ["down_porj"]}]}])
def test_a_layer_to_ignore_that_is_not_there_is_said_before_an_engine_starts(
    place: Project, recipe: dict[str, Any]
) -> None:
    """With the pattern and names that would do, for a fallback too."""
    place.push()
    code, error = failed(place, quantize=recipe or {"ignore": ["down_porj"]})
    assert code == 2
    assert "'down_porj'" in error["what"]
    assert "model.layers.0.mlp.down_proj" in error["why"]
    assert "quantize" not in stages(place)


def test_a_fallback_to_the_engine_that_is_chosen_anyway_is_none(place: Project) -> None:
    """It would be rejected for what the first was rejected for."""
    place.push()
    again = {"engine": "auto", "fallbacks": [{"engine": "llm-compressor"}]}
    code, error = failed(place, quantize=again)
    assert code == 2
    assert "quantize.fallbacks[0] is the same recipe" in error["what"]
    assert "quantize" not in stages(place)


def test_a_dataset_that_is_not_there_is_said_before_the_model_is_fetched(place: Project) -> None:
    """It costs two questions."""
    place.push()
    where = f"hf://datasets/org/none@{'a' * 40}/texts.jsonl"
    code, error = failed(place, quantize={"calibration": where})
    assert code == 2
    assert "the dataset org/none is not at" in error["what"]
    assert not any("acme/tiny" in request for request in place.hub.requests)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"method": "w8a8", "bits": 4}, "w8a8 writes 8-bit weights"),
        ({"fallbacks": [{"engine": "autoawq", "method": "gptq"}]}, "autoawq writes 4-bit AWQ"),
        ({"calibration": "nope.jsonl"}, "nope.jsonl cannot be read"),
        ({"calibration": "."}, "cannot be read"),
        ({"samples": 129}, "uses 129 samples, and 128 texts"),
        ({"fallbacks": [{"samples": 129}]}, "uses 129 samples, and 128 texts"),
        ({"fallbacks": [{}]}, "quantize.fallbacks[0] is the same recipe as the recipe it is to follow"),
        ({"fallbacks": [{"group_size": 128}]}, "quantize.fallbacks[0] is the same"),
        ({"fallbacks": [{"group_size": 64}] * 2}, "fallbacks[1] is the same recipe as quantize.fallbacks[0]"),
        ({"calibration": "hf://datasets/a/b@main/x.jsonl"}, "FILE.jsonl"),
        ({"ignore": ["re:(["]}, "quantize.ignore[0]"),
        ({"fallbacks": [{"ignore": ["re:(["]}]}, "quantize.fallbacks[0].ignore[0]"),
    ],
)
def test_what_needs_no_model_is_said_before_anything_is_fetched(
    place: Project, values: dict[str, Any], said: str
) -> None:
    """Minutes of a download are a bad time to learn of a typo."""
    code, error = failed(place, quantize=values)
    assert code == 2
    assert said in " ".join(error.values())
    assert place.hub.requests == []


def check(place: Project, version: str) -> tuple[int, dict[str, Any], str]:
    """What ``quantize --check`` ends with."""
    code, out, err = place.command("quantize", "--check", version, "--json")
    assert "Traceback" not in err
    return code, json.loads(out.splitlines()[-1]), err


def test_a_version_is_made_again_bit_for_bit(place: Project) -> None:
    """From its record alone: the user's calibration file may be gone."""
    place.push()
    version = released(place)["version"]
    (place.folder / "calibration.jsonl").unlink()
    code, result, _ = check(replace(place, apart=True), version)
    assert (code, result["identical"]) == (0, True)
    assert "quantize" in stages(place)


def test_weights_that_come_out_different_are_no_reproduction(place: Project) -> None:
    """The engine under the same version writes something else: exit code 10, naming the file."""
    place.push()
    version = released(place)["version"]
    engines = place.other_engines()
    engine = engines / "awq_autoawq.py"
    engine.write_text(engine.read_text().replace('"<e", 0.1', '"<e", 0.2'))
    code, result, _ = check(place.with_engines(engines), version)
    assert code == 10
    assert "model.safetensors differs" in result["error"]["why"]


def test_other_packages_make_a_difference_inconclusive(place: Project) -> None:
    """13: what changed is named beside the file."""
    place.push()
    version = released(place)["version"]
    engines = place.other_engines()
    engine = engines / "awq_autoawq.py"
    text = engine.read_text().replace('"<e", 0.1', '"<e", 0.2')
    engine.write_text(text.replace('"simulated-awq": "1"', '"simulated-awq": "2"'))
    code, result, _ = check(place.with_engines(engines), version)
    assert code == 13
    assert "versions was" in result["error"]["why"]


def test_a_version_that_was_not_quantized_cannot_be_made_again(place: Project) -> None:
    """It says so; nor was it compared with a source of its own: no verdict is made up."""
    place.push()
    plain = {"engine": "none", "calibration": None}
    released_as = released(place, quantize=plain, evaluate={"fidelity": {}})
    assert set(released_as["verdicts"]) == {"sanity", "quality", "scan"}
    code, result, _ = check(place, released_as["version"])
    assert code == 2
    assert "was not quantized" in result["error"]["what"]


def test_a_licence_that_is_not_allowed_is_refused_before_any_shard(place: Project) -> None:
    """Also when the model was fetched before under another list."""
    place.push_with({"README.md": b"---\nlicense: cc-by-nc-4.0\n---\n"})
    released(place)
    code, error = failed(place, model={"licences": ["apache-2.0", "mit"]})
    assert code == 10
    assert "cc-by-nc-4.0" in " ".join(error.values())
