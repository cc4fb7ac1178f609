"""The sanity gate on files: artefacts as quantizers leave them, and as they were found in the field."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval_suites.gate_page import GatePage
from judging.verdict import FailureClass, Outcome, Verdict
from registry.digest import Digest
from registry.errors import GateFailed, UsageError
from registry.evidence import list_evidence
from registry.manifest import Manifest
from registry.predicates import SANITY
from tasks.check_artefact import check_artefact
from tasks.quantize import NOT_QUANTIZED, Quantized
from tasks.record import record_sanity
from tasks.run import Run
from tasks.workplace import Workplace
from tests.simulators.quantized import (
    AUTOAWQ,
    AWQ,
    GPTQ,
    RECIPES,
    W8A8,
    Tensors,
    change_json,
    change_tensors,
    is_target,
    pack,
    read_tensors,
)
from tests.simulators.released import TinyHome
from tests.simulators.tiny_llama import write_tiny_llama
from tests.simulators.weights import safetensors

RELEASE = Digest.of_json("a release")
PAGE = GatePage(name="tiny", judged={"release": RELEASE})
LAYER = "model.layers.0.self_attn.q_proj"


class Bench:
    """A source, an artefact made of it, and what the gate says of the two."""

    def __init__(self, at: TinyHome, folder: Path) -> None:
        self.place = Workplace(at.home, os.environ, Run(at.home, "run"))
        self.folder = folder
        self.source = write_tiny_llama(folder / "source")

    def make(self, recipe: Mapping[str, Any]) -> Path:
        """The artefact as it should be."""
        self.recipe = dict(recipe)
        self.made = pack(self.source, self.folder / "made", recipe)
        self.targets = [
            name.removesuffix(".weight")
            for name, (_, shape, _) in read_tensors(self.source).items()
            if is_target(name, shape)
        ]
        return self.made

    def manifests(self) -> tuple[Manifest, Manifest]:
        """Of both, their files in the blob store."""
        blobs = self.place.blobs
        return blobs.add_tree(self.source), blobs.add_tree(self.made)

    def verdict(self) -> Verdict:
        """The gate's."""
        source, made = self.manifests()
        return check_artefact.fn(
            self.place, source, Quantized(made, self.recipe, targets=tuple(self.targets))
        )


@pytest.fixture
def bench(at: TinyHome, tmp_path: Path) -> Bench:
    return Bench(at, tmp_path)


def failures(verdict: Verdict) -> dict[str, str]:
    """The messages of what failed, by name."""
    assert verdict.outcome in {Outcome.PASS, Outcome.FAIL}
    assert all(f.failure_class is FailureClass.MODEL for f in verdict.findings if f.outcome is Outcome.FAIL)
    return {f.name: f.message for f in verdict.findings if f.outcome is Outcome.FAIL}


@pytest.mark.parametrize("name", RECIPES)
def test_what_an_engine_should_write_passes(bench: Bench, name: str) -> None:
    """Every format, with every finding a pass and the exact share of bytes in one of them."""
    bench.make(RECIPES[name])
    verdict = bench.verdict()
    assert failures(verdict) == {}
    (share,) = (f for f in verdict.findings if f.name == "bytes")
    assert share.candidate is not None
    assert share.bound is not None
    assert 0.9 * share.bound < share.candidate <= share.bound < (0.6 if name == "w8a8" else 0.3)


def test_weights_saved_as_they_were_are_found(bench: Bench) -> None:
    """llm-compressor 1533: the run ends well, config.json says 4 bits, and the file is as large as before."""
    made = bench.make(AWQ)
    (made / "model.safetensors").write_bytes((bench.source / "model.safetensors").read_bytes())
    found = failures(bench.verdict())
    assert found.keys() == {"layers", "bytes", "scales"}
    assert "14 of 14 layers" in found["layers"]
    assert "is not quantized (it has weight F16)" in found["layers"]
    assert "take 1.0000 of their bytes" in found["bytes"]


def test_a_model_without_a_word_of_quantization_is_found(bench: Bench) -> None:
    """The same with the source's config.json: a server would serve it without complaint."""
    bench.make(AWQ)
    bench.made = bench.folder / "same"
    write_tiny_llama(bench.made, seed=1)
    assert "has none" in failures(bench.verdict())["quantization_config"]


@pytest.mark.parametrize("name", RECIPES)
def test_half_of_the_layers_left_out_is_found(bench: Bench, name: str) -> None:
    """Layers that a mapping skipped in silence stay in float16."""
    made = bench.make(RECIPES[name])
    plain = read_tensors(bench.source)

    def unpack(tensors: Tensors) -> None:
        for layer in [n.removesuffix(".weight") for n in plain if is_target(n, plain[n][1]) and ".0." in n]:
            for part in [n for n in tensors if n.startswith(f"{layer}.")]:
                del tensors[part]
            tensors[f"{layer}.weight"] = plain[f"{layer}.weight"]

    change_tensors(made, unpack)
    found = failures(bench.verdict())
    assert found.keys() == {"layers", "bytes"}
    assert "7 of 14 layers" in found["layers"]


def test_groups_of_another_size_than_the_recipe_says_are_found(bench: Bench) -> None:
    """In the tensors and in config.json."""
    bench.make(AWQ)
    bench.recipe["group_size"] = 128
    found = failures(bench.verdict())
    assert "has a weight_scale of F16 [128, 4] where BF16/F16/F32 [128, 2] is needed" in found["layers"]
    assert "group_size is 64 where the recipe makes it 128" in found["quantization_config"]


def test_zero_points_that_the_recipe_does_not_have_are_found(bench: Bench) -> None:
    """A symmetric recipe, an asymmetric artefact."""
    bench.make(AWQ)
    bench.recipe["zero_point"] = False
    found = failures(bench.verdict())
    assert "has a weight_zero_point that its format does not know" in found["layers"]
    assert "symmetric is False where the recipe makes it True" in found["quantization_config"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 0.0])
@pytest.mark.parametrize("name", ["autoawq", "gptq", "w8a8"])
def test_scales_that_are_no_positive_numbers_are_found(bench: Bench, name: str, value: float) -> None:
    """NaN, infinity, a sign, a layer of zeros: in one layer of fourteen."""
    made = bench.make(RECIPES[name])

    def spoil(tensors: Tensors) -> None:
        part = "scales" if name == "autoawq" else "weight_scale"
        dtype, shape, _ = tensors[f"{LAYER}.{part}"]
        tensors[f"{LAYER}.{part}"] = (dtype, shape, np.full(shape, value, "<f2").tobytes())

    change_tensors(made, spoil)
    found = failures(bench.verdict())
    assert found.keys() == {"scales"}
    assert LAYER in found["scales"]


@pytest.mark.parametrize(
    ("recipe", "part"), [(AUTOAWQ, "qweight"), (GPTQ, "weight_packed"), (W8A8, "weight")]
)
def test_a_zeroed_layer_is_found(bench: Bench, recipe: Mapping[str, Any], part: str) -> None:
    """All of its weights are one number, under sound scales."""
    made = bench.make(recipe)

    def blank(tensors: Tensors) -> None:
        dtype, shape, data = tensors[f"{LAYER}.{part}"]
        tensors[f"{LAYER}.{part}"] = (dtype, shape, bytes(len(data)))

    change_tensors(made, blank)
    assert failures(bench.verdict()) == {"weights": f"{LAYER}.{part} holds nothing but one number"}


def test_a_key_of_the_configuration_that_changed_is_named(bench: Bench) -> None:
    """llm-compressor 81: rope_scaling's type went from su to longrope, and evaluation broke."""
    change_json(bench.source / "config.json", rope_scaling={"type": "su", "factor": 4})
    made = bench.make(AWQ)
    change_json(made / "config.json", rope_scaling={"type": "longrope", "factor": 4})
    assert failures(bench.verdict()) == {"config.json": "rope_scaling.type was 'su' and is 'longrope'"}


def test_a_generation_config_that_was_dropped_is_named(bench: Bench) -> None:
    """GPTQModel 1291: temperature and end tokens fall back to defaults that nobody chose."""
    (bench.make(AWQ) / "generation_config.json").unlink()
    assert failures(bench.verdict()) == {"files": "generation_config.json is missing"}


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (
            "tokenizer_config.json",
            lambda path: change_json(path, pad_token="</s>"),
            "tokenizer_config.json differs: pad_token was '<pad>' and is '</s>'",
        ),
        (
            "chat_template.jinja",
            lambda path: path.write_text("{{ 'another' }}"),
            "chat_template.jinja differs: e2ce372d1e09 before, 06c717dbec7c now",
        ),
        ("merges.txt", lambda path: path.write_text("a b"), "merges.txt was not in the source"),
        (
            "generation_config.json",
            lambda path: change_json(path, temperature=1.0),
            "temperature was 0.6 and is 1.0",
        ),
    ],
)
def test_any_other_file_that_differs_is_named(
    bench: Bench, file: str, change: Callable[[Path], object], said: str
) -> None:
    """JSON by key, anything else by digest."""
    change(bench.make(AWQ) / file)
    found = failures(bench.verdict())
    assert found.keys() == {"files"}
    assert said in found["files"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("model.norm.weight"), "model.norm.weight is lost"),
        (lambda t: t.update(extra=("F16", (1,), b"\0\0")), "extra is new"),
        (
            lambda t: t.update({"model.norm.weight": ("F16", (2,), bytes(4))}),
            "model.norm.weight was F16 [128] and is F16 [2]",
        ),
        (
            lambda t: t.update({"lm_head.qweight": ("I32", (128, 8), bytes(4096))}),
            "lm_head is quantized and should not be",
        ),
    ],
)
def test_tensors_that_are_no_targets_stay_as_they_are(
    bench: Bench, change: Callable[[Tensors], object], said: str
) -> None:
    """None lost, none invented, none of another shape, none quantized."""
    change_tensors(bench.make(AUTOAWQ), change)
    assert said in failures(bench.verdict())["other tensors"]


def test_a_layer_that_the_recipe_ignores_must_not_be_quantized(bench: Bench) -> None:
    """And is no layer that is missing."""
    bench.make(AWQ)
    bench.targets = [name for name in bench.targets if not name.endswith("o_proj")]
    bench.recipe["ignore"] = ["o_proj"]
    found = failures(bench.verdict())
    assert found.keys() == {"other tensors"}
    assert "model.layers.0.self_attn.o_proj is quantized and should not be" in found["other tensors"]


def test_weights_that_cannot_be_read_are_a_fail(bench: Bench) -> None:
    """Half a file is no reason for a traceback."""
    path = bench.make(AWQ) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "cannot be read" in failures(bench.verdict())["weights"]


def test_an_index_that_lies_is_a_fail(bench: Bench) -> None:
    """A server loads by the index."""
    index = bench.make(AWQ) / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"lm_head.weight": "model.safetensors"}}')
    assert "does not name" in failures(bench.verdict())["weights"]


def test_an_engine_cannot_pass_by_doing_little(bench: Bench) -> None:
    """One layer of fourteen, just as it said: a model of full size that calls itself quantized."""
    made, plain = bench.make(AWQ), read_tensors(bench.source)
    bench.targets = [LAYER]

    def unpack(tensors: Tensors) -> None:
        for name in [n for n in tensors if n.startswith("model.layers.") and not n.startswith(LAYER)]:
            del tensors[name]
        tensors.update({n: tensor for n, tensor in plain.items() if not n.startswith(LAYER)})

    change_tensors(made, unpack)
    found = failures(bench.verdict())
    assert found.keys() == {"coverage"}
    assert "of 0.9 at least: it left out model.layers.0.mlp.down_proj.weight" in found["coverage"]


def test_layers_that_the_engine_alone_knows_are_judged_by_its_names(bench: Bench) -> None:
    """A projection outside of the decoder's layers is a linear layer too."""
    tensors = read_tensors(bench.source)
    tensors["model.project_in.weight"] = tensors[f"{LAYER}.weight"]
    (bench.source / "model.safetensors").write_bytes(safetensors(tensors))
    made = bench.make(AWQ)
    change_tensors(
        made,
        lambda ts: (
            ts.update(
                {n.replace(LAYER, "model.project_in"): ts[n] for n in list(ts) if n.startswith(f"{LAYER}.")}
            )
            or ts.pop("model.project_in.weight")
        ),
    )
    assert "model.project_in is quantized and should not be" in failures(bench.verdict())["other tensors"]
    bench.targets.append("model.project_in")
    assert failures(bench.verdict()) == {}


def test_a_layer_that_was_blank_before_may_be_blank(bench: Bench) -> None:
    """LLaMA-Pro adds blocks whose last projections are zero, and pruning leaves experts so."""
    tensors = read_tensors(bench.source)
    dtype, shape, data = tensors[f"{LAYER}.weight"]
    tensors[f"{LAYER}.weight"] = (dtype, shape, bytes(len(data)))
    (bench.source / "model.safetensors").write_bytes(safetensors(tensors))

    def blank(tensors: Tensors) -> None:
        for part in ("weight_packed", "weight_scale"):
            dtype, shape, data = tensors[f"{LAYER}.{part}"]
            tensors[f"{LAYER}.{part}"] = (dtype, shape, bytes(len(data)))

    change_tensors(bench.make(GPTQ), blank)
    assert failures(bench.verdict()) == {}


def test_weights_that_nobody_quantized_have_nothing_to_be_checked(bench: Bench) -> None:
    """They are the source's own, as the recipe says."""
    bench.make(AWQ)
    source, _ = bench.manifests()
    assert check_artefact.fn(bench.place, source, Quantized(source, NOT_QUANTIZED)).passed


def test_an_engine_that_handed_back_the_source_is_found(bench: Bench) -> None:
    """The recipe said to quantize."""
    bench.make(AWQ)
    source, _ = bench.manifests()
    found = failures(check_artefact.fn(bench.place, source, Quantized(source, AWQ)))
    assert "nothing was quantized" in found["layers"]


def test_a_fail_is_recorded_on_the_release_and_stops_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 10, with what was seen, signed, so that nobody has to take a log's word."""
    monkeypatch.setattr("tasks.summary.create_markdown_artifact", lambda *_, **__: None)
    (bench.make(AWQ) / "generation_config.json").unlink()
    bench.place.run.directory.mkdir(parents=True)
    source, _ = bench.manifests()
    with pytest.raises(GateFailed, match=r"generation_config\.json is missing"):
        record_sanity(bench.place, PAGE, source.set_digest, bench.verdict(), asked=False, quantized=True)
    (said,) = list_evidence(bench.place.store, RELEASE, bench.place.trust)
    assert (said.kind, said.verdict) == (SANITY, bench.verdict())
    assert said.facts["source"] == str(source.set_digest)
    assert "prompts" not in said.facts
    assert "| files | **fail** |" in (bench.place.run.directory / "sanity-report.md").read_text()
    assert "generation_config.json is missing" in (bench.place.run.directory / "gate.html").read_text()


def test_a_recipe_that_ignores_everything_is_the_specs_mistake(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2: another recipe would not be tried for it."""
    monkeypatch.setattr("tasks.summary.create_markdown_artifact", lambda *_, **__: None)
    bench.make(AWQ)
    bench.recipe["ignore"], bench.targets = ["re:.*"], []
    bench.place.run.directory.mkdir(parents=True)
    with pytest.raises(UsageError, match="ignores every linear layer"):
        record_sanity(bench.place, PAGE, RELEASE, bench.verdict(), asked=False, quantized=True)
