"""The pure parts of the llm-compressor engine, loaded from the folder it runs in: it is no package."""

import json
import re
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks import engine_limits
from tasks.engine_environment import ENGINES
from tasks.engine_limits import is_ignored
from tasks.recipe import METHODS
from tests.simulators.engine_modules import load_engine

DENSE: dict[str, Any] = {"architectures": ["LlamaForCausalLM"], "num_local_experts": None}
EXPERTS: dict[str, Any] = {"architectures": ["Qwen3MoeForCausalLM"], "num_experts": 128}
AWQ: dict[str, Any] = {"method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "ignore": []}
REPORT: dict[str, Any] = {"ok": True, "seconds": 3.0, "peak_gpu_bytes": 5}
ERROR: dict[str, Any] = {
    "ok": False,
    "error": {"class": "config", "what": "It broke", "why": "so", "next": "do this"},
}


engine = load_engine("quantize_llmcompressor")
ranks = load_engine("gpu_ranks")
recipes = load_engine("llmcompressor_recipe")
files = load_engine("quantizer_protocol")


@pytest.mark.parametrize(
    ("change", "config"),
    [
        ({}, DENSE),
        ({"group_size": 32, "zero_point": False}, DENSE),
        ({"method": "gptq"}, DENSE),
        ({"zero_point": False}, EXPERTS),
        ({"method": "w8a8", "bits": 8, "group_size": 0}, EXPERTS),
    ],
)
def test_recipe_that_kernels_run_is_accepted(change: dict[str, Any], config: dict[str, Any]) -> None:
    """w8a8 has neither groups nor zero points, so it does not matter what is said of them."""
    recipes.check_recipe({**AWQ, **change}, config)


@pytest.mark.parametrize(
    ("change", "config", "said"),
    [
        ({"method": "fp8"}, DENSE, "not asked for fp8"),
        ({"bits": 8}, DENSE, "awq writes 4-bit weights"),
        ({"method": "w8a8"}, DENSE, "w8a8 writes 8-bit weights"),
        ({"group_size": 256}, DENSE, "no groups of 256"),
        ({}, EXPERTS, "no zero points"),
        ({}, {"text_config": {"n_routed_experts": 64}}, "no zero points"),
        ({}, {**DENSE, "auto_map": {"AutoModel": "x.Y"}}, "code of its own"),
        ({}, {**DENSE, "quantization_config": {"bits": 4}}, "quantized already"),
    ],
)
def test_recipe_no_kernel_runs_is_refused(change: dict[str, Any], config: dict[str, Any], said: str) -> None:
    """Before anything is loaded, and with what to change."""
    with pytest.raises(Exception, match=said) as raised:
        recipes.check_recipe({**AWQ, **change}, config)
    assert raised.value.failure == "config"
    assert raised.value.next_step


def test_head_and_routers_stay_as_they_are() -> None:
    """What the request leaves out comes on top, and nothing is named twice."""
    left = recipes.ignored({"ignore": ["re:.*down_proj$", "lm_head"]}, "lm_head")
    assert left.count(r"re:(.*\.)?lm_head$") == 1
    assert left[-1] == "re:.*down_proj$"
    assert r"re:.*\.gate$" in left


def test_the_head_is_what_the_model_calls_so() -> None:
    """GPT-NeoX's is embed_out; 4 bits of every word's vector would be lost."""
    head = object()
    modules = {"gpt_neox": object(), "embed_out": head}
    model = SimpleNamespace(named_modules=modules.items, get_output_embeddings=lambda: head)
    assert r"re:(.*\.)?embed_out$" in recipes.ignored({"ignore": []}, recipes.head_of(model))
    none = SimpleNamespace(named_modules=modules.items, get_output_embeddings=lambda: None)
    assert recipes.head_of(none) is None


@pytest.mark.parametrize("name", ["down_proj", "mlp.down_proj", "a.down", "down", "re:.*down_proj$"])
@pytest.mark.parametrize("layer", ["model.layers.1.mlp.down_proj", "down_proj", "x.a.down", "x.abdown"])
def test_names_under_ignore_mean_the_same_everywhere(name: str, layer: str) -> None:
    """To the preflight, to llm-compressor and to autoawq: a whole name, or its end after a dot."""
    found = re.match(recipes.pattern(name).removeprefix("re:"), layer) is not None
    assert is_ignored(layer, [name]) is found
    if not name.startswith("re:"):
        assert files.names_layer(name, layer) is found


def test_tables_kept_twice_are_alike() -> None:
    """Programs of the engines import nothing of ours, so what both need is written down in both."""
    assert recipes.BITS == METHODS
    assert files.GROUP_SIZES == engine_limits._GROUP_SIZES
    assert recipes.EXPERTS == engine_limits._EXPERTS
    assert {*recipes.HEAD, *recipes.ROUTERS} <= {*engine_limits._IGNORED}
    for layer in ("model.visual.x.0.y", "vision_tower.y", "audio_tower.y", "multi_modal_projector.y"):
        assert is_ignored(layer, recipes.SENSES)
        assert is_ignored(layer, engine_limits._IGNORED)


def test_model_without_one_architecture_is_refused() -> None:
    """Its class decides which layers belong together."""
    with pytest.raises(Exception, match="0 architectures"):
        recipes.architecture({})


@pytest.mark.parametrize(
    ("message", "count"),
    [
        ("4 mappings were skipped due to incompatible shapes. Set logging to DEBUG.", 4),
        ("Skipping smooth_layer model.layers.0.mlp.up_proj, NaN or inf outputs found", 1),
        ("No accelerator available! Compressing model on CPU instead", 0),
    ],
)
def test_skipped_mappings_are_counted(message: str, count: int) -> None:
    """They say how much of the method did not happen."""
    assert engine.skipped_mappings(message) == count


def test_progress_goes_over_all_passes_layer_by_layer(capsys: pytest.CaptureFixture[str]) -> None:
    """w8a8 goes through the model twice; the bars of other loops say nothing."""
    reports = engine._LayerReports(2)
    for desc in ("(1/2): Calibrating", "(1/2): Propagating", "(2/2): Calibrating") * 2:
        assert list(reports(iter("ab"), total=2, desc=desc)) == ["a", "b"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["progress"] for line in lines] == [0.05, 0.275, 0.5, 0.725]
    assert lines[1]["message"] == "calibrating part 2 of 2"


def test_list_of_architectures_is_of_the_pinned_version() -> None:
    """Whoever moves the pin writes the list anew; the end-to-end test compares it with the library's."""
    text = (ENGINES / "quantize_llmcompressor.py").read_text(encoding="utf-8")
    known = json.loads((ENGINES / "llmcompressor_architectures.json").read_text(encoding="utf-8"))
    assert f'"llmcompressor=={known["llmcompressor"]}"' in text
    assert "LlamaForCausalLM" in known["awq"]
    assert "LlamaForCausalLM" in known["smoothquant"]


def test_every_sample_is_in_one_share() -> None:
    """Shares differ by one sample at most, so that no GPU waits long for another."""
    shares = [ranks.share(list(range(10)), number, 4) for number in range(4)]
    assert sorted(sample for share in shares for sample in share) == list(range(10))
    assert {len(share) for share in shares} == {2, 3}
    assert ranks.share([1, 2], 0, 1) == [1, 2]


def test_process_knows_its_rank_from_torchrun_alone() -> None:
    """A scheduler may set RANK for reasons of its own."""
    assert ranks.rank({"RANK": "3", "WORLD_SIZE": "8"}) == (0, 1)
    assert ranks.rank({"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "WORLD_SIZE": "8"}) == (3, 8)


def test_torchrun_starts_the_script_on_every_gpu() -> None:
    """On this machine only: the rendezvous takes a free port of the loopback."""
    command = ranks.torchrun_command("/py", "/e/q.py", Path("/r/in.json"), Path("/r/out.json"), 4)
    line = "/py -m torch.distributed.run --standalone --nproc-per-node 4 /e/q.py /r/in.json /r/out.json"
    assert command == line.split()
    assert ranks.rank_result(Path("/r/out.json"), 2) == Path("/r/out.json.rank2")


def test_result_of_several_gpus_is_the_first_ones() -> None:
    """Memory is that of the fullest."""
    assert ranks.merge([REPORT, {**REPORT, "peak_gpu_bytes": 9}], 0) == {**REPORT, "peak_gpu_bytes": 9}


def test_error_of_any_gpu_is_the_error() -> None:
    """torchrun kills the others, which then leave nothing."""
    with pytest.raises(Exception, match="It broke") as raised:
        ranks.merge([None, ERROR], 1)
    assert (raised.value.failure, raised.value.why, raised.value.next_step) == ("config", "so", "do this")


@pytest.mark.parametrize(("results", "code"), [([REPORT, None], 1), ([None, None], 1), ([REPORT, REPORT], 1)])
def test_gpu_process_that_died_is_infrastructure(results: list[Any], code: int) -> None:
    """Killed for memory, say: nobody wrote why."""
    with pytest.raises(Exception, match="GPU processes ended well") as raised:
        ranks.merge(results, code)
    assert raised.value.failure == "infra"


def test_group_that_fits_few_layers_names_the_first_ones() -> None:
    """A large model has hundreds of layers of one shape."""
    with pytest.raises(Exception, match="Groups of 128") as raised:
        files.check_shapes({f"layers.{number}.down_proj": 320 for number in range(80)}, 128)
    assert raised.value.why.endswith("and 75 more")
    assert raised.value.next_step == "set group_size to 64"


def test_digest_of_samples_knows_tokens_and_order() -> None:
    """The same texts cut otherwise are another calibration."""
    digests = {files.samples_digest(samples) for samples in ([[1, 2], [3]], [[3], [1, 2]], [[1], [2, 3]])}
    assert len(digests) == 3
    assert all(digest.startswith("sha256:") for digest in digests)


def test_output_differs_from_its_source_in_weights_and_one_section(tmp_path: Path) -> None:
    """What the engine's library wrote of everything else, does not count (GPTQModel issue 1291)."""
    source, saved, output = (tmp_path / name for name in ("source", "saved", "output"))
    for folder in (source, saved, output):
        folder.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "rope_theta": 5e5}
    for name, text in (("a.safetensors", "old"), ("generation_config.json", "{ }"), ("tokenizer.json", "{}")):
        (source / name).write_text(text, encoding="utf-8")
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in ("b.safetensors", "recipe.yaml", "tokenizer.json"):
        (saved / name).write_text("new", encoding="utf-8")
    (saved / "b.safetensors").chmod(0o600)
    written = {**config, "rope_theta": 1e4, "quantization_config": {"quant_method": "compressed-tensors"}}
    (saved / "config.json").write_text(json.dumps(written), encoding="utf-8")
    (output / "of-a-run-before").touch()
    files.finish(source, saved, output, config)
    found = {file.name: file for file in output.iterdir()}
    assert set(found) == {"b.safetensors", "config.json", "generation_config.json", "tokenizer.json"}
    assert found["generation_config.json"].read_text(encoding="utf-8") == "{ }"
    assert found["tokenizer.json"].read_text(encoding="utf-8") == "{}"
    quantized = json.loads(found["config.json"].read_text(encoding="utf-8"))
    assert quantized == {**config, "quantization_config": {"quant_method": "compressed-tensors"}}
    assert {stat.S_IMODE(file.stat().st_mode) for file in found.values()} == {0o644}
    assert not saved.exists()
