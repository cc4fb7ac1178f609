"""What a release needs of its accelerator, beside what vLLM itself says, and releases that cannot fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eval_suites.load_memory import GPU_MEMORY, judge_memory, need_of
from eval_suites.load_spec import LoadSpec
from judging.verdict import FailureClass, Finding, Outcome
from registry.version import ServeConfig
from tests.simulators.tiny_llama import CONFIG

LOAD = LoadSpec(peak_requests_per_second=5)
SERVE = ServeConfig(
    dtype="float16", max_model_len=8192, tensor_parallel_size=1, gpu_memory_utilization=0.9, max_num_seqs=32
)
LLAMA_8B: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
WEIGHTS = 16_060_522_496


def judged(memory: int | None, serve: ServeConfig = SERVE, load: LoadSpec = LOAD) -> dict[str, Finding]:
    found = judge_memory(load, serve, LLAMA_8B, WEIGHTS, memory)
    return {finding.name: finding for finding in found}


def cache(config: dict[str, Any], serve: ServeConfig = SERVE) -> int:
    return need_of(LOAD, serve, config, WEIGHTS).cache


def test_the_cache_is_what_vllm_says_it_is() -> None:
    """vLLM 0.32 printed 2,097,152 tokens for 1 GiB of this model: 512 bytes each."""
    assert cache(CONFIG, replace(SERVE, max_model_len=65_536)) == 32 * 65_536 * 512


@pytest.mark.parametrize(
    ("change", "per_token"),
    [
        ({}, 131_072),
        ({"head_dim": 256}, 262_144),
        ({"num_key_value_heads": None}, 524_288),
        ({"kv_lora_rank": 512, "qk_rope_head_dim": 64}, 36_864),
        ({"layer_types": ["full_attention", "linear_attention"] * 16}, 65_536),
    ],
)
def test_kinds_of_attention_keep_different_amounts(change: dict[str, Any], per_token: int) -> None:
    """Groups of heads, latent attention, and layers that keep no token."""
    assert cache(LLAMA_8B | change) == 32 * 8192 * per_token


@pytest.mark.parametrize(
    ("change", "tokens"),
    [
        ({"layer_types": ["sliding_attention", "full_attention"] * 16, "sliding_window": 1024}, 4608),
        ({"sliding_window": 1024}, 1024),
        ({"sliding_window": 1024, "use_sliding_window": True}, 1024),
        ({"sliding_window": 1024, "use_sliding_window": False}, 8192),
        ({"sliding_window": None}, 8192),
        ({"sliding_window": 16_384}, 8192),
    ],
)
def test_a_sliding_window_keeps_no_more_than_that(change: dict[str, Any], tokens: int) -> None:
    """Of the layers that have one: all where config.json names no kinds, none where it is switched off."""
    assert cache(LLAMA_8B | change) == 32 * 131_072 * tokens


@pytest.mark.parametrize("flags", [("--kv-cache-dtype", "fp8"), ("--kv-cache-dtype=fp8_e4m3",)])
def test_a_cache_of_eight_bits_takes_half(flags: tuple[str, ...]) -> None:
    """vLLM's own flag, in both spellings."""
    assert cache(LLAMA_8B, replace(SERVE, extra_args=flags)) == cache(LLAMA_8B) // 2


def test_accelerators_that_share_a_model_share_its_heads() -> None:
    """But no head is cut in two."""
    assert cache(LLAMA_8B, replace(SERVE, tensor_parallel_size=4)) == cache(LLAMA_8B) // 4
    assert cache(LLAMA_8B, replace(SERVE, tensor_parallel_size=16)) == cache(LLAMA_8B) // 8


def test_what_fits_passes() -> None:
    """With both sizes in the finding."""
    found = judged(GPU_MEMORY["h100"])["memory"]
    assert found.outcome is Outcome.PASS
    assert "15 GiB of weights, 32 GiB of cache for 32 requests of 8192 tokens" in found.message


def test_what_cannot_fit_is_the_spec_s_to_mend() -> None:
    """It says what would fit, and no server is started for it."""
    found = judged(GPU_MEMORY["l40s"])["memory"]
    assert (found.outcome, found.failure_class) == (Outcome.FAIL, FailureClass.CONFIG)
    assert "25 requests of that length would fit" in found.message
    fewer = LOAD.model_copy(update={"concurrency": 25})
    assert judged(GPU_MEMORY["l40s"], load=fewer)["memory"].outcome is Outcome.PASS
    assert "0 requests of that length would fit" in judged(GPU_MEMORY["t4"])["memory"].message


def test_an_accelerator_nobody_knows_is_an_error() -> None:
    """The spec can say how much it has."""
    found = judged(None)["memory"]
    assert (found.outcome, found.failure_class) == (Outcome.ERROR, FailureClass.CONFIG)
    assert "say load.gpu_memory_gib" in found.message


@pytest.mark.parametrize(
    ("config", "per_token"),
    [
        ({"n_embd": 12288, "n_layer": 96, "n_head": 96, "vocab_size": 50257}, 4_718_592),
        (
            {"n_embd": 6144, "n_layer": 40, "n_head": 48, "multi_query": True, "vocab_size": 49152},
            20_480,
        ),
        (
            {
                "hidden_size": 8192,
                "num_hidden_layers": 60,
                "num_attention_heads": 128,
                "num_kv_heads": 8,
                "multi_query": True,
                "new_decoder_architecture": True,
                "vocab_size": 65024,
            },
            122_880,
        ),
        (
            {
                "d_model": 7168,
                "n_layers": 48,
                "n_heads": 64,
                "attn_config": {"kv_n_heads": 8},
                "vocab_size": 1,
            },
            172_032,
        ),
        ({"text_config": LLAMA_8B, "vision_config": {"hidden_size": 1}}, 131_072),
    ],
    ids=["gpt2", "bigcode", "falcon", "mpt", "multimodal"],
)
def test_families_that_use_other_words_are_understood(config: dict[str, Any], per_token: int) -> None:
    """GPT-2's, BigCode's with one head for all keys, Falcon's that ignores that, MPT's, and nested ones."""
    assert cache(config) == 32 * 8192 * per_token


ODD = {"d_model": 4096, "layer_types": ["sliding_attention"]}


def test_a_model_that_nobody_understands_is_never_a_pass() -> None:
    """It names what config.json does not say, and the key of the spec that says it instead."""
    (_, found) = judge_memory(LOAD, SERVE, ODD, WEIGHTS, 1 << 40)
    assert (found.outcome, found.failure_class) == (Outcome.INCONCLUSIVE, FailureClass.CONFIG)
    assert "does not say num_hidden_layers, num_attention_heads, vocab_size, sliding_window" in found.message
    told = LOAD.model_copy(update={"cache_bytes_per_token": 131_072})
    (_, found) = judge_memory(told, SERVE, ODD, WEIGHTS, 1 << 40)
    assert found.outcome is Outcome.PASS
    assert "32 GiB of cache" in found.message


def test_weights_that_do_not_fit_need_no_more_words() -> None:
    """Their bytes are exact."""
    (_, found) = judge_memory(LOAD, SERVE, ODD, 350 << 30, GPU_MEMORY["l4"])
    assert (found.outcome, found.failure_class) == (Outcome.FAIL, FailureClass.CONFIG)
    assert "350 GiB of weights alone" in found.message


def test_what_the_spec_says_of_the_cache_counts_first() -> None:
    """Also where config.json says something."""
    told = LOAD.model_copy(update={"cache_bytes_per_token": 1024})
    assert need_of(told, SERVE, LLAMA_8B, WEIGHTS).cache == 32 * 8192 * 1024


@pytest.mark.parametrize(("tokens", "outcome"), [(7000, Outcome.PASS), (8064, Outcome.FAIL)])
def test_requests_must_fit_the_model_s_length(tokens: int, outcome: Outcome) -> None:
    """With room for the token that many tokenizers begin with."""
    load = LOAD.model_copy(update={"prompt_tokens": tokens})
    assert judged(1 << 40, load=load)["length"].outcome is outcome
