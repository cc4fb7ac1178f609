"""Admission: which files enter, which stay outside, and which repositories are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.admission import admit, is_configuration, may_ask_for_code, refuse_custom_code
from registry.errors import Refused

WHOLE = ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_typical_repository_is_sorted_into_taken_and_skipped() -> None:
    """Weights, JSON, tokenizer and templates enter; everything else has a reason to stay outside."""
    outside = {
        "README.md": "licence",
        "adapter_config.json": "adapter",
        "consolidated.safetensors": "Mistral",
        "consolidated.safetensors.index.json": "Mistral",
        "model.gguf": "another format",
        ".gitattributes": "hidden",
        "notes.pdf": "no weights",
        "evil.json.py": "code",
        "original/consolidated.safetensors": "subfolder",
        "pytorch_model.bin": "pickle",
        "training_args.BIN": "pickle",
    }
    inside = [
        *WHOLE,
        "LICENSE",
        "USE_POLICY.md",
        "chat_template.jinja",
        "merges.txt",
        "qwen.tiktoken",
        "tokenizer.model",
        "vocab.txt",
    ]
    admission = admit([*inside, *outside], "org/model")
    assert admission.taken == tuple(sorted(inside))
    assert {skipped.path for skipped in admission.skipped} == set(outside)
    for skipped in admission.skipped:
        assert outside[skipped.path] in skipped.reason


def test_mistrals_own_layout_is_taken_when_there_is_no_other() -> None:
    """Beside the usual one it would be the same weights again, which servers would prefer."""
    assert "consolidated.safetensors" in admit(["config.json", "consolidated.safetensors"], "m").taken


def test_a_repository_without_safetensors_is_refused_naming_what_it_has() -> None:
    """A pickle is not taken instead."""
    with pytest.raises(Refused, match=r"no safetensors.*pytorch_model\.bin \(pickle") as caught:
        admit(["config.json", "pytorch_model.bin"], "org/model")
    assert "org/model" in str(caught.value)
    assert caught.value.next_step


def test_a_repository_without_configuration_is_refused() -> None:
    """No server would know what to do with the weights."""
    with pytest.raises(Refused, match=r"no config\.json"):
        admit(["model.safetensors"], "org/model")


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("../config.json", "relative path"),
        ("/etc/x.json", "absolute"),
        ("a/../../x.json", "relative path"),
        ("a\\x.json", "backslash"),
        ("a//b.json", "relative path"),
        ("x.json\n", "not shown"),
        ("x\u200b.json", "not shown"),
        ("x\ud800.json", "UTF-8"),
        ("", "relative path"),
        ("./x.json", "relative path"),
        ("\u00e9" * 128, "255 bytes"),
        ("Config.json", "collide"),
        ("CONFIG.JSON", "collide"),
        ("conﬁg.json", "collide"),
        ("tokenizer.json", "twice"),
        ("config.json/x", "file and a folder"),
    ],
)
def test_a_doubtful_name_refuses_the_whole_repository(path: str, word: str) -> None:
    """A hub that lists such a file is not one to take the others from."""
    with pytest.raises(Refused, match=word) as caught:
        admit([*WHOLE, path], "org/model")
    assert str(caught.value).isprintable()


def test_a_symbolic_link_is_refused_even_when_it_would_not_be_taken() -> None:
    """Some sources say so: a folder, an archive."""
    with pytest.raises(Refused, match=r"symbolic link, notes\.txt"):
        admit(WHOLE, "org/model", links={"notes.txt"})


def test_files_that_are_not_taken_may_collide() -> None:
    """They never reach a disk."""
    assert admit([*WHOLE, "readme.md", "README.md"], "org/model").taken == tuple(WHOLE)


@given(st.lists(st.text(max_size=20)))
def test_whatever_a_hub_lists_what_is_taken_is_a_plain_name(paths: list[str]) -> None:
    """Either the repository is refused, or every path is accounted for and none can escape."""
    try:
        admission = admit([*WHOLE, *paths], "org/model")
    except Refused:
        return
    assert all("/" not in path and path not in {"", ".", ".."} for path in admission.taken)
    assert sorted([*admission.taken, *(s.path for s in admission.skipped)]) == sorted([*WHOLE, *paths])


@pytest.mark.parametrize(
    "value",
    [
        {"auto_map": {"AutoModelForCausalLM": "modeling_x.XForCausalLM"}},
        {"text_config": {"auto_map": {"AutoConfig": "x.Y"}}},
        {"processors": [{"auto_map": {"AutoProcessor": "x.Y"}}]},
        {"trust_remote_code": True},
        [{"auto_map": {"AutoModel": "x.Y"}}],
        {"text_config": {"_attn_implementation": "org/kernel"}},
        {"custom_pipelines": {"x": {"impl": "pipeline.Pipe"}}},
    ],
)
def test_a_configuration_that_needs_code_is_refused(value: object) -> None:
    """At any depth; the error names the file and the key."""
    with pytest.raises(Refused, match="its own Python code") as caught:
        refuse_custom_code("config.json", value, "org/model")
    assert "config.json has" in caught.value.why


def test_plain_configurations_pass() -> None:
    """An empty auto_map asks for nothing, nor does a kernel that the loader has."""
    asks_nothing = {"auto_map": {}, "trust_remote_code": False, "attn_implementation": "sdpa", "list": [1]}
    refuse_custom_code("config.json", {"model_type": "llama", **asks_nothing}, "org/model")


def test_all_files_in_which_loaders_look_for_code_are_looked_at() -> None:
    """Vocabularies are not: any word can be a key there, auto_map too."""
    data = ["tokenizer.json", "model.safetensors.index.json", "vocab.json", "chat_template.jinja"]
    assert not any(map(may_ask_for_code, data))
    steering = ["config.json", "tokenizer_config.json", "preprocessor_config.json"]
    assert all(map(is_configuration, steering))
    assert all(map(may_ask_for_code, [*steering, "processor.json", "modules.json"]))
    assert not any(map(is_configuration, data))
