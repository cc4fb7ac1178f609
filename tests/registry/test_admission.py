"""Admission: which files enter, which stay outside, and which repositories are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.admission import admit, is_configuration, refuse_custom_code
from registry.errors import Refused

WHOLE = ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_typical_repository_is_sorted_into_taken_and_skipped() -> None:
    """Weights, JSON, tokenizer and templates enter; everything else has a reason to stay outside."""
    outside = {
        ".gitattributes": "hidden",
        "README.md": "no weights",
        "evil.json.py": "code",
        "original/consolidated.safetensors": "subfolder",
        "pytorch_model.bin": "pickle",
        "training_args.BIN": "pickle",
    }
    inside = [*WHOLE, "chat_template.jinja", "merges.txt", "qwen.tiktoken", "tokenizer.model", "vocab.txt"]
    admission = admit([*inside, *outside], "org/model")
    assert admission.taken == tuple(sorted(inside))
    assert {skipped.path for skipped in admission.skipped} == set(outside)
    for skipped in admission.skipped:
        assert outside[skipped.path] in skipped.reason


def test_a_repository_without_safetensors_is_refused_naming_what_it_has() -> None:
    """A pickle is not taken instead."""
    with pytest.raises(Refused, match=r"no safetensors.*pytorch_model\.bin") as caught:
        admit(["config.json", "pytorch_model.bin"], "org/model")
    assert "org/model" in str(caught.value)
    assert caught.value.next_step


def test_a_repository_without_configuration_is_refused() -> None:
    """An adapter, for one, has weights and no config.json."""
    with pytest.raises(Refused, match=r"no config\.json"):
        admit(["adapter_config.json", "adapter_model.safetensors"], "org/model")


@pytest.mark.parametrize(
    "path",
    ["../config.json", "/etc/x.json", "a/../../x.json", "a\\x.json", "a//b.json", "x.json\n", "", "./x.json"],
)
def test_a_path_that_could_leave_the_folder_refuses_the_whole_repository(path: str) -> None:
    """A hub that lists such a file is not one to take the others from."""
    with pytest.raises(Refused, match="relative path"):
        admit([*WHOLE, path], "org/model")


@given(st.lists(st.text(max_size=20)))
def test_whatever_a_hub_lists_what_is_taken_is_a_plain_name(paths: list[str]) -> None:
    """Either the repository is refused, or every path is accounted for and none can escape."""
    try:
        admission = admit([*WHOLE, *paths], "org/model")
    except Refused:
        return
    assert all("/" not in path and path not in {"", ".", ".."} for path in admission.taken)
    assert set(admission.taken) | {s.path for s in admission.skipped} == {*WHOLE, *paths}


@pytest.mark.parametrize(
    "value",
    [
        {"auto_map": {"AutoModelForCausalLM": "modeling_x.XForCausalLM"}},
        {"text_config": {"auto_map": {"AutoConfig": "x.Y"}}},
        {"processors": [{"auto_map": {"AutoProcessor": "x.Y"}}]},
        {"custom_pipelines": {"x": {"impl": "pipeline.Pipe"}}},
    ],
)
def test_a_configuration_that_needs_code_is_refused(value: object) -> None:
    """At any depth; the error names the file and the key."""
    with pytest.raises(Refused, match="its own Python code") as caught:
        refuse_custom_code("config.json", value, "org/model")
    assert "config.json has" in caught.value.why


def test_plain_configurations_pass() -> None:
    """An empty auto_map asks for nothing."""
    refuse_custom_code("config.json", {"model_type": "llama", "auto_map": {}}, "org/model")


def test_a_configuration_that_is_no_object_is_refused() -> None:
    """A loader could only fail on it, later and less clearly."""
    with pytest.raises(Refused, match="not a JSON object"):
        refuse_custom_code("config.json", ["auto_map"], "org/model")


def test_all_files_in_which_loaders_look_for_code_count_as_configuration() -> None:
    """tokenizer.json and the shard index do not: they are data, and large."""
    assert all(map(is_configuration, ["config.json", "tokenizer_config.json", "preprocessor_config.json"]))
    assert not any(map(is_configuration, ["tokenizer.json", "model.safetensors.index.json", "vocab.json"]))
