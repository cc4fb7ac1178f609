"""The pure parts of the engine programs, loaded as files: they belong to no package."""

import asyncio
import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eval_suites.texts import ItemText, read_texts
from tasks import engine_limits
from tasks.engine_environment import ENGINES
from tasks.engine_limits import Machine, Model
from tasks.engine_uv import read_header
from tasks.recipe import Recipe
from tests.simulators.engine_modules import load_engine

GOOD: dict[str, Any] = {
    "model_type": "llama",
    "rope_theta": 10000.0,
    "torch_dtype": "float16",
    "transformers_version": "4.51.3",
}


AUTOAWQ = Recipe(
    engine="autoawq",
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


@pytest.fixture(scope="module")
def awq() -> ModuleType:
    """The quantizer."""
    return load_engine("awq_autoawq")


@pytest.fixture(scope="module")
def server() -> ModuleType:
    """The server."""
    return load_engine("serve_vllm_cpu")


def test_good_config_may_be_quantized(awq: ModuleType) -> None:
    """What transformers 4.51 wrote, it reads."""
    awq.check_config(GOOD)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rope_theta": None, "rope_parameters": {"rope_theta": 5e5}}, "no top-level rope_theta"),
        ({"rope_theta": None, "transformers_version": "5.17.0"}, "no top-level rope_theta"),
        ({"torch_dtype": None, "dtype": "bfloat16"}, "no torch_dtype"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "code of its own"),
        ({"quantization_config": {"bits": 4}}, "quantized already"),
    ],
)
def test_config_that_would_be_misread_is_refused(awq: ModuleType, change: dict[str, Any], said: str) -> None:
    """The old transformers assumes defaults without a word."""
    config = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(Exception, match="misread") as raised:
        awq.check_config(config)
    assert said in raised.value.why
    assert raised.value.failure == "config"


RECIPE: dict[str, Any] = {"method": "awq", "bits": 4, "zero_point": True, "ignore": ["down_proj"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bits": 8}, "4-bit"),
        ({"zero_point": False}, "4-bit"),
        ({"method": "gptq"}, "4-bit"),
        ({"ignore": ["re:.*down.*"]}, "name or its end only"),
    ],
)
def test_recipe_the_format_cannot_hold_is_refused(awq: ModuleType, change: dict[str, Any], said: str) -> None:
    """Before anything is loaded."""
    awq.check_recipe(RECIPE)
    with pytest.raises(Exception, match=said):
        awq.check_recipe({**RECIPE, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"rope_theta": None, "rope_parameters": {"rope_theta": 5e5}},
        {"rope_theta": None, "transformers_version": "5.17.0"},
        {"rope_theta": None, "transformers_version": "4.51.3"},
        {"torch_dtype": None, "dtype": "bfloat16"},
        {"torch_dtype": None},
        {},
    ],
)
def test_the_preflight_and_the_quantizer_misread_alike(awq: ModuleType, change: dict[str, Any]) -> None:
    """The rule is written down twice, since the program imports nothing of ours."""
    config = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    said = list(engine_limits._of_autoawq(AUTOAWQ, Model(config, {}), Machine(1)))
    try:
        awq.check_config(config)
        refused = False
    except awq.EngineError:
        refused = True
    assert refused is bool(said)


LAYERS = {f"model.layers.0.{name}": name for name in ("self_attn.q_proj", "mlp.up_proj", "mlp.down_proj")}


@pytest.mark.parametrize("ignore", [["down_proj"], ["mlp.down_proj"], ["up_proj", "q_proj"]])
def test_ignored_layers_are_left_out_by_the_end_of_their_names(awq: ModuleType, ignore: list[str]) -> None:
    """As the preflight has it."""
    kept = [layer for layer in LAYERS if not engine_limits.is_ignored(layer, ignore)]
    assert awq.kept_layers(LAYERS, ignore, ignore) == kept


@pytest.mark.parametrize(
    ("ignore", "parts", "said"),
    [
        (["proj"], ["proj"], "would leave out model.layers.0.mlp.down_proj"),
        (["mlp"], ["mlp"], "would leave out model.layers.0.mlp.down_proj"),
        (
            ["model.layers.0.mlp.down_proj"],
            ["model.layers.0.mlp.down_proj"],
            "would quantize model.layers.0.mlp.down_proj",
        ),
        (["down_proj"], ["visual"], "would quantize model.layers.0.mlp.down_proj"),
        ([], ["proj"], "ignores proj"),
    ],
)
def test_names_that_autoawq_reads_otherwise_are_refused(
    awq: ModuleType, ignore: list[str], parts: list[str], said: str
) -> None:
    """It goes by parts of names; for some models by a list of its own alone."""
    with pytest.raises(Exception, match="recipe") as raised:
        awq.kept_layers(LAYERS, ignore, parts)
    assert said in raised.value.why
    assert raised.value.failure == "config"


def test_ignored_layer_that_autoawq_needs_is_the_users_to_change(awq: ModuleType) -> None:
    """It says no more than the name it misses; any other name it misses is no matter of the recipe."""
    with pytest.raises(awq.EngineError, match=r"cannot leave out mlp\.down_proj"), awq.pairing(["down_proj"]):
        raise KeyError("mlp.down_proj")
    with pytest.raises(KeyError), awq.pairing(["down_proj"]):
        raise KeyError("inputs")


def test_group_that_does_not_fit_names_one_that_does(awq: ModuleType) -> None:
    """The message says which layer, and what to set."""
    with pytest.raises(Exception, match="Groups of 128") as raised:
        awq.check_shapes({"q_proj": 256, "down_proj": 320}, 128)
    assert "down_proj takes 320" in raised.value.why
    assert raised.value.next_step == "set group_size to 64"


def test_server_arguments_end_with_the_port(server: ModuleType) -> None:
    """A release's own flags win over ours; the port is the caller's."""
    request = {"model_dir": "/m", "served_model_name": "tiny", "arguments": ["--dtype", "float16"]}
    line = "--model /m --served-model-name tiny --host 127.0.0.1 --dtype float16 --port 8001"
    assert server.server_arguments(request, 8001) == line.split()


def test_server_settings_yield_to_the_operators(server: ModuleType) -> None:
    """All but being offline."""
    environment = server.server_environment({"VLLM_CPU_KVCACHE_SPACE": "8", "HF_HUB_OFFLINE": "0"})
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "8"
    assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_missing_system_library_names_the_command(
    server: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """vLLM would die a minute later, naming something else."""
    server.LIBNUMA = "libnuma-is-not-here.so.1"
    with pytest.raises(SystemExit) as ended:
        server.check_libnuma()
    assert ended.value.code == 1
    assert "apt-get install -y libnuma1" in capsys.readouterr().err


def test_description_has_each_distribution_once_with_a_digest(server: ModuleType) -> None:
    """What the runtime's digest is taken over; here of the test's own environment."""
    found = server.describe()
    names = [distribution["name"] for distribution in found]
    assert len(names) == len(set(names))
    assert all(distribution["content"].startswith("sha256:") for distribution in found)


def test_content_digest_does_not_know_where_or_when(server: ModuleType, tmp_path: Path) -> None:
    """Bytecode, console scripts and the installer's own notes differ from machine to machine."""
    digests = []
    for folder, noise in (("a", ""), ("b", "toy/__pycache__/x.pyc,,\n../../../bin/toy,sha256=ccc,3\n")):
        info = tmp_path / folder / "toy-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n", encoding="utf-8")
        record = f"toy/x.py,sha256=aaa,3\n{noise}toy-1.0.dist-info/METADATA,sha256={folder},9\n"
        (info / "RECORD").write_text(record, encoding="utf-8")
        digests.append(server.content(importlib.metadata.Distribution.at(info)))
    assert digests[0] == digests[1]


def test_score_that_is_no_number_becomes_null() -> None:
    """The gate has to see it; JSON cannot carry a NaN."""
    sample = generated("x") | {"exact_match": float("nan")}
    assert load_engine("lm_eval_samples").sample_of("facts", sample)["value"] is None


def test_what_people_judge_has_no_score() -> None:
    """The answer is kept whole, and in whole characters; a task of lm-eval's has to have a score."""
    sample = generated("long " * 200 + "\ud800") | {"metrics": ["bypass"], "bypass": None}
    engine = load_engine("evaluate_lm_eval")
    found = engine.sample_of("opinions", sample)
    assert (found["value"], found["said"]) == (None, "long " * 200 + "?")
    assert engine.sample_of("facts", generated("x"))["said"] is None
    with pytest.raises(engine.EngineError, match="gives no number per item"):
        engine.sample_of("named", sample, "bypass")


def generated(answer: str, prompt: str = "Q:") -> dict[str, Any]:
    """An item as lm-eval logs it, with what was generated."""
    asked = {"arguments": [(prompt, {"until": ["\n"]})], "resps": [[answer]]}
    hashes = {"doc_id": 0, "doc_hash": "d", "prompt_hash": "p"}
    return {**hashes, "metrics": ["exact_match"], "exact_match": 1.0, **asked}


def test_the_answer_to_a_choice_is_the_likeliest_one() -> None:
    """Its text, as lm-eval's accuracy takes it: the first of equals."""
    asked = [("Q:", f" {choice}") for choice in ("red", "until", "blue")]
    said = [[(-2.0, False)], [(-1.0, True)], [(-1.0, False)]]
    sample = generated("") | {"arguments": asked, "resps": said}
    assert load_engine("lm_eval_samples").sample_of("facts", sample)["answer"] == "until"


def test_the_answer_is_the_one_that_the_metric_takes() -> None:
    """``acc_norm`` looks for the likeliest choice per character, so a long one may be the answer."""
    asked = [("Q:", " no"), ("Q:", " a longer answer")]
    sample = generated("") | {"arguments": asked, "resps": [[(-2.0, True)], [(-3.0, False)]], "acc_norm": 1.0}
    engine = load_engine("evaluate_lm_eval")
    assert engine.sample_of("arc", {**sample, "acc": 0.0}, "acc")["answer"] == "no"
    assert engine.sample_of("arc", sample, "acc_norm")["answer"] == "a longer answer"


def test_long_texts_are_kept_where_they_matter() -> None:
    """At both ends: template and question of a prompt, beginning and conclusion of an answer."""
    sample = generated("begin" + "x" * 5000 + "end", "<system>" + "shots" * 1000 + "Question?")
    found = load_engine("lm_eval_samples").sample_of("facts", sample)
    assert len(found["prompt"]) == 2000
    assert found["prompt"].startswith("<system>")
    assert found["prompt"].endswith("Question?")
    assert len(found["answer"]) == 500
    assert found["answer"].startswith("begin")
    assert found["answer"].endswith("end")


def test_texts_are_written_beside_the_scores(tmp_path: Path) -> None:
    """What the judge reads at each look has none of them, and what people read is there whole."""
    engine = load_engine("evaluate_lm_eval")
    sample = engine.sample_of("facts", generated("yes \ud800 \u2028\n"))
    engine.write_texts(tmp_path / "texts", [sample])
    found = read_texts((tmp_path / "texts").read_bytes(), [("facts", 0), ("facts", 1)])
    assert found == {("facts", 0): ItemText("Q:", "yes \ud800 \u2028\n")}
    assert {*engine.chosen(sample, engine.SCORED)} & {"prompt", "answer"} == set()


def test_evaluator_says_at_once_that_no_server_answers() -> None:
    """lm-eval itself would retry for minutes."""
    with pytest.raises(Exception, match="No model server answers") as raised:
        load_engine("evaluate_lm_eval").check_server("http://127.0.0.1:9/v1/completions")
    assert raised.value.failure == "infra"


def test_load_is_made_from_the_environment_that_serves() -> None:
    """The same header gives the same environment: no second vLLM to download, and of the server's version."""
    serve, load = (
        read_header((ENGINES / f"{name}.py").read_text(encoding="utf-8"), name)
        for name in ("serve_vllm_cpu", "load_vllm_cpu")
    )
    assert serve == load


@pytest.mark.parametrize(("seconds", "ended"), [(0.0, True), (60.0, False)])
def test_a_run_that_takes_too_long_is_given_up(seconds: float, ended: bool) -> None:
    """A server that hangs must not hold the load generator for ever, nor end it."""
    load = load_engine("load_vllm_cpu")
    assert asyncio.run(load.within(0.2, asyncio.sleep(seconds))) is ended
