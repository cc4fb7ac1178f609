"""The sanity gate on headers alone: what formats take, and models whose tensors are no plain matrices."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_suites.artefact import Artefact, differences, is_spare
from eval_suites.quantized_layers import Scheme, expected_bytes
from eval_suites.sanity import judge
from eval_suites.tensor_values import Sample, look_at
from judging.verdict import Finding, Outcome
from registry.safetensors import DTYPE_BYTES, Tensor
from tests.simulators.quantized import AWQ, GPTQ, W8A8, settings

SOUND = {"weight_scale": Sample(count=9, no_numbers=0, negative=0, zero=0, least=0.1, largest=0.2)}
SCHEME = Scheme.of(GPTQ)
LAYER = "model.layers.0.mlp.up_proj"


def tensor(dtype: str, *shape: int) -> Tensor:
    size = DTYPE_BYTES[dtype]
    for length in shape:
        size *= length
    return Tensor(dtype, shape, 0, size)


def packed(layer: str, outputs: int, inputs: int) -> dict[str, Tensor]:
    """A layer as llm-compressor packs it in groups of 128."""
    return {
        f"{layer}.weight_packed": tensor("I32", outputs, inputs // 8),
        f"{layer}.weight_scale": tensor("BF16", outputs, inputs // 128),
        f"{layer}.weight_shape": tensor("I64", 2),
    }


SOURCE = {"model.norm.weight": tensor("BF16", 8), f"{LAYER}.weight": tensor("BF16", 256, 128)}
MADE = {"model.norm.weight": tensor("BF16", 8), **packed(LAYER, 256, 128)}


def found(
    source: dict[str, Tensor], made: dict[str, Tensor], targets: list[str], **config: Any
) -> dict[str, Finding]:
    """The findings by name."""
    written = {**config, "quantization_config": settings(GPTQ)}
    expected = {name: t for name, t in source.items() if ".layers." in name and len(t.shape) > 1}
    verdict = judge(
        SCHEME,
        targets,
        {name: t for name, t in expected.items() if len(t.shape) < 4 and not is_spare(name, config)},
        Artefact(tensors=source, config=config),
        Artefact(tensors=made, config=written, samples=SOUND),
    )
    return {finding.name: finding for finding in verdict.findings}


def failed(
    source: dict[str, Tensor], made: dict[str, Tensor], targets: list[str], **config: Any
) -> dict[str, str]:
    """Messages of what failed."""
    findings = found(source, made, targets, **config)
    return {name: f.message for name, f in findings.items() if f.outcome is Outcome.FAIL}


@pytest.mark.parametrize(
    ("recipe", "share"),
    [(AWQ, 0.25 + 2.5 / 2 / 64), (GPTQ, 0.25 + 1 / 128), (W8A8, 0.5 + 1 / 4096)],
)
def test_what_a_format_takes_is_known_exactly(recipe: dict[str, Any], share: float) -> None:
    """Weights, scales and zero points: the rest of a layer is sixteen bytes for its shape."""
    scheme = Scheme.of(recipe)
    bytes_taken = expected_bytes(scheme, (4096, 4096), scale_bytes=2)
    assert bytes_taken - (0 if recipe is W8A8 else 16) == 2 * 4096 * 4096 * share


def test_experts_that_lie_in_one_tensor_are_taken_apart() -> None:
    """The weights of all of them have to come out again, whatever their names are then."""
    experts = "model.layers.0.mlp.experts"
    source = {
        **SOURCE,
        f"{experts}.gate_up_proj": tensor("BF16", 2, 128, 512),
        f"{experts}.down_proj": tensor("BF16", 2, 256, 128),
    }
    apart: dict[str, Tensor] = {}
    for number in range(2):
        for name in ("gate_proj", "up_proj"):
            apart |= packed(f"{experts}.{number}.{name}", 256, 128)
        apart |= packed(f"{experts}.{number}.down_proj", 128, 256)
    targets = [LAYER, *(name.removesuffix(".weight_packed") for name in apart if "packed" in name)]
    assert failed(source, {**MADE, **apart}, targets) == {}
    lost = {name: t for name, t in apart.items() if "1.down_proj" not in name}
    message = failed(source, {**MADE, **lost}, targets)["layers"]
    assert f"{experts}. has {163840} weights of {196608}" in message
    assert f"{experts}.1.down_proj is not quantized" in message
    assert "2 of 8 layers" in message


def test_experts_left_as_they_are_are_found() -> None:
    """A quantizer that does not know how to take them apart leaves most of the model as it was."""
    name = "model.layers.0.mlp.experts.gate_up_proj"
    experts = {name: tensor("BF16", 2, 128, 512)}
    found = failed({**SOURCE, **experts}, {**MADE, **experts}, [LAYER])
    assert found.keys() == {"coverage"}
    assert found["coverage"].endswith(f"it left out {name}")


@pytest.mark.parametrize("side", ["source", "made"])
@pytest.mark.parametrize("name", ["lm_head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"])
def test_what_is_tied_or_computed_may_be_in_one_of_the_two_alone(side: str, name: str) -> None:
    """Writers differ in whether they keep it."""
    extra = {name: tensor("BF16", 16, 8)}
    source = {**SOURCE, **(extra if side == "source" else {})}
    made = {**MADE, **(extra if side == "made" else {})}
    assert failed(source, made, [LAYER], tie_word_embeddings=True) == {}


def test_a_head_that_is_tied_to_nothing_must_stay() -> None:
    """Without it the model has no words."""
    source = {**SOURCE, "lm_head.weight": tensor("BF16", 16, 8)}
    message = failed(source, MADE, [LAYER], tie_word_embeddings=False)["other tensors"]
    assert message == "lm_head.weight is lost"


@pytest.mark.parametrize("config", [{}, {"text_config": {"tie_word_embeddings": True}}])
@pytest.mark.parametrize("name", ["lm_head.weight", "language_model.lm_head.weight", "embed_out.weight"])
def test_a_head_that_is_tied_by_another_word_may_go(name: str, config: dict[str, Any]) -> None:
    """By the model's class, as in Gemma, or by the language part's own configuration."""
    assert failed({**SOURCE, name: tensor("BF16", 16, 8)}, MADE, [LAYER], **config) == {}


def test_masks_that_are_called_a_bias_may_go() -> None:
    """GPT-NeoX saves its causal mask; a bias of that name has one dimension, and must stay."""
    name = "gpt_neox.layers.0.attention.bias"
    assert failed({**SOURCE, name: tensor("U8", 1, 1, 64, 64)}, MADE, [LAYER]) == {}
    assert "is lost" in failed({**SOURCE, name: tensor("BF16", 64)}, MADE, [LAYER])["other tensors"]


def test_an_engine_may_call_its_layers_by_another_prefix() -> None:
    """transformers 5 renames what stands before a language model's blocks, and back when it saves."""
    assert failed(SOURCE, MADE, ["model.language_model.layers.0.mlp.up_proj"]) == {}
    other = failed(SOURCE, MADE, ["model.language_model.layers.0.mlp.down_proj"])
    assert "model.language_model.layers.0.mlp.down_proj is not in the source" in other["layers"]
    assert other["other tensors"] == f"{LAYER} is quantized and should not be"


def test_parts_that_predict_further_tokens_may_be_left_out() -> None:
    """DeepSeek's layer after the last is one that transformers does not load."""
    source = {**SOURCE, "model.layers.1.mlp.up_proj.weight": tensor("BF16", 256, 128)}
    assert failed(source, MADE, [LAYER], num_hidden_layers=1) == {}
    assert not is_spare("model.layers.1", {"num_hidden_layers": 2})
    assert is_spare("model.layers.2", {"text_config": {"num_hidden_layers": 2}})


def test_a_bias_of_a_quantized_layer_must_stay() -> None:
    """It is no part of what is packed."""
    bias = {f"{LAYER}.bias": tensor("BF16", 256)}
    assert failed({**SOURCE, **bias}, {**MADE, **bias}, [LAYER]) == {}
    assert failed({**SOURCE, **bias}, MADE, [LAYER]) == {"other tensors": f"{LAYER}.bias is lost"}


def test_norms_may_come_out_in_another_floating_type() -> None:
    """autoawq writes float16 whatever the source was."""
    made = {**MADE, "model.norm.weight": tensor("F16", 8)}
    assert failed(SOURCE, made, [LAYER]) == {}


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    other=st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
def test_differences_are_told_exactly_when_there_are_any(value: Any, other: Any) -> None:
    """Of a value to itself there are none; of two that differ there is one, whichever came first."""
    assert list(differences(value, value)) == []
    assert bool(list(differences(value, other))) == bool(list(differences(other, value))) == (value != other)


@pytest.mark.parametrize(
    ("dtype", "data"), [("BF16", "803f00bf"), ("F16", "003c00b8"), ("F32", "0000803f000000bf")]
)
def test_numbers_are_read_in_every_type_that_scales_have(dtype: str, data: str) -> None:
    """1 and -0.5."""
    sample = look_at(dtype, [bytes.fromhex(data)])
    assert (sample.count, sample.negative, sample.zero, sample.least, sample.largest) == (2, 1, 0, -0.5, 1.0)
    assert not sample.alike


def test_nan_and_infinity_are_no_numbers() -> None:
    """Nor are they all alike."""
    sample = look_at("BF16", [bytes.fromhex("807f"), bytes.fromhex("c07f")])
    assert (sample.no_numbers, sample.alike) == (2, False)
