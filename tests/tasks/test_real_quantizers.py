"""llm-compressor itself, on the processor: a tiny model by every method, in the environment it ships with."""

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from registry.digest import Digest
from registry.errors import UsageError
from registry.safetensors import Tensor, read_headers
from tasks.engine_environment import ENGINES, engine_script, prepare_engine
from tasks.engine_run import listener, read_failure, read_result, write_request
from tasks.engine_uv import engine_variables
from tasks.process import ProcessFailed, run_process
from tests.simulators.tiny_llama import write_texts, write_tiny_llama

NAME = "quantize_llmcompressor"
LAYER = "model.layers.1.mlp.down_proj"
METHODS: dict[str, dict[str, Any]] = {
    "awq": {"method": "awq", "bits": 4, "group_size": 64, "zero_point": True},
    "gptq": {"method": "gptq", "bits": 4, "group_size": 128, "zero_point": False},
    "w8a8": {"method": "w8a8", "bits": 8, "group_size": 128, "zero_point": False},
}
PACKED: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {
    "awq": {
        "weight_packed": ("I32", (128, 32)),
        "weight_scale": ("F16", (128, 4)),
        "weight_zero_point": ("I32", (16, 4)),
        "weight_shape": ("I64", (2,)),
    },
    "gptq": {
        "weight_packed": ("I32", (128, 32)),
        "weight_scale": ("F16", (128, 2)),
        "weight_shape": ("I64", (2,)),
    },
    "w8a8": {"weight": ("I8", (128, 256)), "weight_scale": ("F16", (128, 1))},
}
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def python() -> Path:
    """The engine's interpreter; making its environment may take minutes."""
    return prepare_engine(NAME, env=os.environ, log=print, progress=lambda message, fraction: None).python


def _quantize(python: Path, folder: Path, source: Path, **recipe: Any) -> dict[str, Any]:
    """The engine's result; its output lies in ``folder/out``. Raises what the pipeline would."""
    folder.mkdir()
    defaults = {"ignore": [], "num_samples": 4, "sequence_length": 32, "seed": 0}
    texts = write_texts(folder / "texts.jsonl")
    places = {"source_dir": source, "output_dir": folder / "out", "calibration_texts_file": texts}
    request = {**{name: str(path) for name, path in places.items()}, **defaults, **recipe}
    heard: list[str] = []
    listen = listener(lambda message, fraction: heard.append(message), lambda _line: None)
    try:
        run_process(
            write_request(folder, python, engine_script(NAME), request),
            log=listen,
            timeout=600,
            env={**engine_variables(os.environ), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
    except ProcessFailed as failure:
        raise read_failure(folder / "result.json") or failure from None
    return {**read_result(NAME, folder / "result.json"), "heard": heard}


def _others(folder: Path) -> dict[str, str]:
    files = (file for file in folder.iterdir() if file.suffix != ".safetensors")
    return {file.name: file.read_text(encoding="utf-8") for file in files}


@pytest.mark.parametrize("method", METHODS)
def test_tiny_model_is_quantized_the_same_twice(python: Path, tmp_path: Path, method: str) -> None:
    """Every target is packed, the rest is the source's, and two processes write the same bytes."""
    source = write_tiny_llama(tmp_path / "source")
    first, second = (_quantize(python, tmp_path / run, source, **METHODS[method]) for run in ("one", "two"))
    outputs = [tmp_path / run / "out" for run in ("one", "two")]
    assert Digest.of_file(outputs[0] / "model.safetensors") == Digest.of_file(
        outputs[1] / "model.safetensors"
    )
    _packed_everywhere(read_headers(outputs[0], ["model.safetensors"]), method)
    _nothing_else_changed(_others(source), _others(outputs[0]))
    assert {stat.S_IMODE(file.stat().st_mode) for file in outputs[0].iterdir()} == {0o644}
    assert first["samples_digest"] == second["samples_digest"]
    assert (first["samples_used"], first["layers"]["targets"]) == (4, 14)
    assert first["layers"]["skipped_mappings"] == (2 if method == "awq" else 0)
    assert (first["device"]["kind"], first["peak_gpu_bytes"]) == ("cpu", None)
    assert first["versions"]["llmcompressor"] in (ENGINES / f"{NAME}.py").read_text(encoding="utf-8")
    assert "calibrating part 3 of 3" in first["heard"]
    assert "Modifier" in first["recipe"]


def _packed_everywhere(tensors: dict[str, Tensor], method: str) -> None:
    names = {name.removeprefix(f"{LAYER}.") for name in tensors if name.startswith(f"{LAYER}.")}
    found = {name: (tensors[f"{LAYER}.{name}"].dtype, tensors[f"{LAYER}.{name}"].shape) for name in names}
    assert found == PACKED[method]
    plain = {name for name, tensor in tensors.items() if tensor.dtype == "F16" and "scale" not in name}
    assert all("norm" in name or name.split(".")[-2] in {"embed_tokens", "lm_head"} for name in plain)


def _nothing_else_changed(source: dict[str, str], output: dict[str, str]) -> None:
    config = json.loads(output.pop("config.json"))
    section = config.pop("quantization_config")
    assert config == json.loads(source.pop("config.json"))
    assert (section["quant_method"], section["ignore"]) == ("compressed-tensors", ["lm_head"])
    assert output == source


def test_head_that_equals_the_embeddings_stays(python: Path, tmp_path: Path) -> None:
    """llm-compressor drops one it could tie, and a config.json that ties nothing would ask for it."""
    source = write_tiny_llama(tmp_path / "source", twin_head=True)
    _quantize(python, tmp_path / "run", source, **METHODS["gptq"])
    assert "lm_head.weight" in read_headers(tmp_path / "run" / "out", ["model.safetensors"])


@pytest.mark.parametrize(
    ("recipe", "config", "said"),
    [
        ({"ignore": ["re:.*proj$"]}, {}, "leaves every layer as it is"),
        ({}, {"architectures": ["TinyForCausalLM"]}, "does not know how to smooth a TinyForCausalLM"),
        ({"method": "gptq"}, {"architectures": ["TinyForCausalLM"]}, "has no TinyForCausalLM"),
        ({"sequence_length": 512}, {}, "too little calibration text"),
    ],
)
def test_what_cannot_be_quantized_is_the_users_to_change(
    python: Path, tmp_path: Path, recipe: dict[str, Any], config: dict[str, Any], said: str
) -> None:
    """And nothing is left where the output would be."""
    source = write_tiny_llama(tmp_path / "source", **config)
    with pytest.raises(UsageError, match=said):
        _quantize(python, tmp_path / "run", source, **{**METHODS["awq"], **recipe})
    assert not (tmp_path / "run" / "out").exists()


def test_list_of_architectures_is_the_librarys(python: Path) -> None:
    """What is decided without the environment is decided by what is in it."""
    command = [str(python), str(engine_script(NAME)), "--architectures"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert json.loads(printed) == json.loads(
        (ENGINES / "llmcompressor_architectures.json").read_text(encoding="utf-8")
    )
