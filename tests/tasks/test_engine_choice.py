"""Which engine gets a model and a recipe, and everything that speaks against each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from registry.errors import UsageError
from registry.safetensors import Tensor
from tasks.engine_choice import choose_engine
from tasks.engine_limits import Machine, Model, is_ignored, objections
from tasks.recipe import Recipe

RECIPE = Recipe(
    engine="auto",
    method="awq",
    bits=4,
    group_size=128,
    zero_point=True,
    ignore=(),
    calibration="texts.jsonl",
    samples=8,
    sequence_length=64,
    seed=0,
)
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.3",
}
NEW_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "rope_parameters": {"rope_theta": 500000.0},
    "dtype": "bfloat16",
    "transformers_version": "5.16.1",
}
MACHINE = Machine(memory=1 << 30)


def tensor(*shape: int) -> Tensor:
    """A bfloat16 tensor; where it lies in its file is no matter here."""
    elements = 1
    for size in shape:
        elements *= size
    return Tensor("BF16", shape, 0, 2 * elements)


def model(config: dict[str, Any] = CONFIG, *, width: int = 256, inner: int = 512) -> Model:
    """Two decoder layers with a query and a down projection, embedding and head."""
    tensors = {"model.embed_tokens.weight": tensor(1000, width), "lm_head.weight": tensor(1000, width)}
    for number in range(2):
        layer = f"model.layers.{number}"
        tensors[f"{layer}.self_attn.q_proj.weight"] = tensor(width, width)
        tensors[f"{layer}.mlp.down_proj.weight"] = tensor(width, inner)
        tensors[f"{layer}.input_layernorm.weight"] = tensor(width)
    return Model(config, tensors)


def why_not(recipe: Recipe, of: Model, machine: Machine = MACHINE, gpu_class: str = "cpu") -> str:
    """What the refusal says."""
    with pytest.raises(UsageError) as refused:
        choose_engine(recipe, of, machine, gpu_class)
    return refused.value.why


@pytest.mark.parametrize("config", [CONFIG, NEW_CONFIG], ids=["transformers 4", "transformers 5"])
def test_auto_takes_llm_compressor_where_it_knows_the_architecture(config: dict[str, Any]) -> None:
    """Whichever transformers wrote the configuration, and it says why."""
    choice = choose_engine(RECIPE, model(config), MACHINE, "cpu")
    assert choice.engine == "llm-compressor"
    assert "the processor" in choice.why


def test_auto_takes_autoawq_where_llm_compressor_has_no_mapping() -> None:
    """An architecture of before; the reason names what the first engine lacks."""
    old = model({**CONFIG, "architectures": ["OPTForCausalLM"], "model_type": "opt"})
    choice = choose_engine(RECIPE, old, MACHINE, "cpu")
    assert choice.engine == "autoawq"
    assert "no layer mapping for a OPTForCausalLM" in choice.why


def test_auto_takes_neither_for_a_new_configuration_of_an_unknown_architecture() -> None:
    """autoawq would misread it in silence: both reasons are given."""
    unknown = model({**NEW_CONFIG, "architectures": ["OPTForCausalLM"], "model_type": "opt"})
    said = why_not(RECIPE, unknown)
    assert "no layer mapping" in said
    assert "calibrate with 10000 in silence" in said


def test_a_named_engine_is_not_exchanged() -> None:
    """The spec's word stands, and so does the refusal."""
    assert choose_engine(replace(RECIPE, engine="autoawq"), model(), MACHINE, "cpu").engine == "autoawq"
    assert "float32 in silence" in why_not(replace(RECIPE, engine="autoawq"), model(NEW_CONFIG))


def test_gptq_needs_no_mapping() -> None:
    """A recipe to fall back to for architectures that nothing can smooth."""
    unknown = model({**NEW_CONFIG, "architectures": ["NewForCausalLM"], "model_type": "new"})
    gptq = replace(RECIPE, method="gptq")
    assert choose_engine(gptq, unknown, MACHINE, "cpu").engine == "llm-compressor"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quantization_config": {"bits": 4}}, "quantized already"),
        ({"num_local_experts": 8}, "set zero_point to false"),
        ({"text_config": {"num_experts": 64}}, "set zero_point to false"),
        ({"architectures": []}, "names 0 architectures"),
    ],
)
def test_what_a_configuration_rules_out(change: dict[str, Any], said: str) -> None:
    """Before any engine is installed or started."""
    assert any(
        said in reason
        for reason in objections("llm-compressor", RECIPE, model({**CONFIG, **change}), MACHINE, "cpu")
    )


def test_quantized_experts_are_served_by_gpus_only() -> None:
    """vLLM 0.32 for processors ends with "No WNA16 MoE backend" when it loads them."""
    experts = model({**CONFIG, "num_local_experts": 8})
    symmetric = replace(RECIPE, zero_point=False)
    assert "no kernel for quantized experts" in why_not(symmetric, experts)
    assert choose_engine(symmetric, experts, MACHINE, "h100").engine == "llm-compressor"


def test_groups_have_to_divide_every_input() -> None:
    """The layer is named, and a size that would fit."""
    said = why_not(RECIPE, model(inner=320))
    assert "model.layers.0.mlp.down_proj takes 320" in said
    assert "64 would fit" in said


def test_an_ignored_layer_may_have_any_size() -> None:
    """It is not quantized."""
    recipe = replace(RECIPE, ignore=("down_proj",))
    assert choose_engine(recipe, model(inner=320), MACHINE, "cpu").engine == "llm-compressor"


def test_a_recipe_without_groups_asks_for_no_division() -> None:
    """w8a8 has one scale for each output channel."""
    w8a8 = replace(RECIPE, method="w8a8", bits=8, group_size=None, zero_point=None)
    assert choose_engine(w8a8, model(inner=300), MACHINE, "h100").engine == "llm-compressor"


def test_bits_that_the_method_does_not_write() -> None:
    """Said in the method's own number."""
    assert "awq writes 4-bit weights, not 8-bit" in why_not(replace(RECIPE, bits=8), model())


@pytest.mark.parametrize(
    ("gpu_class", "refused"),
    [("v100", True), ("v100-32gb", True), ("t4", False), ("h100", False), ("ours", False)],
)
def test_a_fleet_without_a_kernel_for_the_format(gpu_class: str, refused: bool) -> None:
    """Quantized for nobody: the capability it has and the one it needs are named."""
    reasons = objections("llm-compressor", RECIPE, model(), MACHINE, gpu_class)
    assert bool(reasons) is refused
    assert all("7.0, and 7.5 is needed" in reason for reason in reasons)


def test_a_model_larger_than_the_memory() -> None:
    """From the exact sizes in the headers."""
    of = model()
    assert "this machine has 1.0 MB free" in why_not(RECIPE, of, Machine(memory=1_000_000))


def test_a_layer_larger_than_the_gpu() -> None:
    """One layer at a time is on a GPU with llm-compressor, all of it with autoawq."""
    small = Machine(memory=1 << 30, gpus=(1_000_000,))
    assert "largest layer takes 1.2 MB of GPU memory" in why_not(RECIPE, model(), small)
    assert "holds the model on the GPUs whole" in why_not(RECIPE, model(), small)
    assert choose_engine(RECIPE, model(), Machine(1 << 30, (8_000_000,)), "cpu").engine == "llm-compressor"


@pytest.mark.parametrize(
    ("pattern", "known"),
    [
        ("lm_head", True),
        ("down_proj", True),
        ("model.layers.1.self_attn.q_proj", True),
        (r"re:.*\.layers\.1\..*", True),
        ("model.layers.2.self_attn.q_proj", False),
        ("q_porj", False),
        ("re:down_proj", False),
        ("input_layernorm", False),
    ],
)
def test_what_is_to_be_ignored_has_to_be_there(pattern: str, known: bool) -> None:
    """A typo would quantize what was meant to stay; the head may share the embedding's tensor."""
    of = model()
    tied = Model(of.config, {name: t for name, t in of.tensors.items() if "lm_head" not in name})
    assert tied.unknown([pattern]) == ([] if known else [pattern])
    assert "model.layers.0.self_attn.q_proj" in tied.examples()


def test_experts_in_one_tensor_may_be_ignored_by_names_of_their_own() -> None:
    """An engine takes them apart, and names each; the file does not."""
    of = model()
    fused = {**of.tensors, "model.layers.0.mlp.experts.down_proj": tensor(4, 8, 8)}
    assert Model(of.config, fused).unknown(["re:.*experts.3.down_proj"]) == []


@pytest.mark.parametrize(
    ("layer", "pattern", "ignored"),
    [
        ("lm_head", "lm_head", True),
        ("model.lm_head", "lm_head", True),
        ("model.layers.1.mlp.down_proj", "re:.*down_proj$", True),
        ("model.layers.1.mlp.down_proj", "proj", False),
        ("model.layers.1.mlp.up_proj", "re:down", False),
    ],
)
def test_layers_are_ignored_by_name_or_pattern(layer: str, pattern: str, ignored: bool) -> None:
    """A name is the whole name or its end."""
    assert is_ignored(layer, [pattern]) is ignored


def test_a_recipe_survives_its_record() -> None:
    """And one of 0.1 is read as what it was: AWQ."""
    assert Recipe.from_json(RECIPE.to_json()) == RECIPE
    w8a8 = replace(RECIPE, method="w8a8", bits=8, group_size=None, zero_point=None)
    assert "group_size" not in w8a8.to_json()
    assert Recipe.from_json(w8a8.to_json()) == w8a8
    old = {k: v for k, v in RECIPE.to_json().items() if k not in {"method", "ignore"}}
    assert Recipe.from_json(old) == RECIPE
    with pytest.raises(TypeError, match="unheard"):
        Recipe.from_json({**RECIPE.to_json(), "unheard": 1})
