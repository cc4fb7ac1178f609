"""Does a release fit its accelerator at full length and concurrency? Asked before a server is started. Pure.

What vLLM holds: the weights, a KV cache, and what one step computes with. The weights' bytes are exact. The
cache takes per token 2 (key and value) x layers x key-value heads x head size x bytes of a number, and of
latent attention (DeepSeek) the latent and its rotary part, once; a layer with a sliding window keeps only
that. Activations are estimated from the largest step that vLLM 0.32 takes by default. CUDA graphs are left
out: this finds what cannot fit, and the observed peak tells the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval_suites.load_spec import LoadSpec
from judging.verdict import FailureClass, Finding, Outcome
from registry.version import ServeConfig

_MEBIBYTE, _GIBIBYTE = 1 << 20, 1 << 30
_STEP = 2048  # tokens; vLLM takes up to 16384 on accelerators of 70 GiB and more, which have the room
_BYTES = 2  # of a number: float16 and bfloat16, the only precisions a spec can name

GPU_MEMORY: Mapping[str, int] = {
    "t4": 15_360 * _MEBIBYTE,
    "l4": 23_034 * _MEBIBYTE,
    "a10": 23_028 * _MEBIBYTE,
    "a10g": 23_028 * _MEBIBYTE,
    "l40s": 46_068 * _MEBIBYTE,
    "a100": 40_960 * _MEBIBYTE,
    "h100": 81_559 * _MEBIBYTE,
    "h200": 143_771 * _MEBIBYTE,
}
"""Bytes by GPU class, as the driver reports them; of a card in two sizes the smaller."""


@dataclass(frozen=True)
class Need:
    """Bytes that one accelerator has to hold."""

    weights: int
    cache: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.activations


def judge_memory(
    load: LoadSpec, serve: ServeConfig, config: Mapping[str, Any], weights: int, memory: int | None
) -> list[Finding]:
    """Findings named ``length`` and ``memory``; ``weights`` and ``memory`` (of one accelerator) in bytes.

    ``memory`` None is a class whose memory nobody knows, which is an error for the spec to mend. Nothing is
    said of memory where config.json does not describe attention in the usual words.
    """
    found = [_length(load, serve)]
    need = need_of(load, serve, config, weights)
    if memory is None:
        found.append(_unknown())
    elif need is not None:
        found.append(_fits(load, serve, need, memory))
    return found


def need_of(load: LoadSpec, serve: ServeConfig, config: Mapping[str, Any], weights: int) -> Need | None:
    """What one accelerator of the release has to hold; None where config.json does not say."""
    text = config.get("text_config") or config
    share = serve.tensor_parallel_size
    try:
        per_sequence = _cache_of_sequence(text, serve)
        hidden, inner = int(text["hidden_size"]), int(text["intermediate_size"])
        logits = serve.max_num_seqs * int(text["vocab_size"]) * 4  # float32
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    step = _STEP * (4 * hidden + 3 * inner // share) * _BYTES
    return Need(weights // share, _concurrency(load, serve) * per_sequence, step + logits)


def _cache_of_sequence(text: Mapping[str, Any], serve: ServeConfig) -> int:
    """Bytes of the cache of one sequence of full length, on one accelerator."""
    number = 1 if _cache_is_fp8(serve.extra_args) else _BYTES
    layers = int(text["num_hidden_layers"])
    if "kv_lora_rank" in text:
        return (
            layers
            * (int(text["kv_lora_rank"]) + int(text["qk_rope_head_dim"]))
            * number
            * serve.max_model_len
        )
    heads = int(text.get("num_key_value_heads") or text["num_attention_heads"])
    size = int(text.get("head_dim") or int(text["hidden_size"]) // int(text["num_attention_heads"]))
    windowed = text.get("sliding_window") and text.get("use_sliding_window", True)
    kinds = text.get("layer_types") or ["sliding_attention" if windowed else "full_attention"] * layers
    tokens = sum(_kept(kind, text, serve.max_model_len) for kind in kinds)
    return 2 * max(1, heads // serve.tensor_parallel_size) * size * number * tokens


def _kept(kind: str, text: Mapping[str, Any], tokens: int) -> int:
    """How many of a sequence's tokens a layer of this kind keeps; others keep a state of fixed size."""
    if kind == "full_attention":
        return tokens
    return min(tokens, int(text["sliding_window"])) if kind == "sliding_attention" else 0


def _cache_is_fp8(arguments: tuple[str, ...]) -> bool:
    return re.search(r"--kv-cache-dtype[ =]fp8", " ".join(arguments)) is not None


def _concurrency(load: LoadSpec, serve: ServeConfig) -> int:
    return load.concurrency or serve.max_num_seqs


def _length(load: LoadSpec, serve: ServeConfig) -> Finding:
    """One token more is needed, as most tokenizers begin a prompt with one of their own."""
    asked = load.prompt_tokens + load.output_tokens
    fits = asked < serve.max_model_len
    said = f"requests of {load.prompt_tokens} and {load.output_tokens} tokens"
    return Finding(
        name="length",
        outcome=Outcome.PASS if fits else Outcome.FAIL,
        message=f"{said} fit in {serve.max_model_len}"
        if fits
        else f"{said} do not fit in serve.max_model_len, {serve.max_model_len}: shorten them under load",
        candidate=asked,
        bound=serve.max_model_len,
        failure_class=None if fits else FailureClass.CONFIG,
    )


def _unknown() -> Finding:
    return Finding(
        name="memory",
        outcome=Outcome.ERROR,
        message="nobody knows how much memory serve.gpu_class has: say load.gpu_memory_gib",
        failure_class=FailureClass.CONFIG,
    )


def _fits(load: LoadSpec, serve: ServeConfig, need: Need, memory: int) -> Finding:
    room, at_once = int(memory * serve.gpu_memory_utilization), _concurrency(load, serve)
    fits = need.total <= room
    said = (
        f"{_gib(need.weights)} of weights, {_gib(need.cache)} of cache for {at_once} requests of"
        f" {serve.max_model_len} tokens and about {_gib(need.activations)} of activations,"
        f" {_gib(need.total)} of the {_gib(room)} that the server may take"
    )
    left = room - need.weights - need.activations
    possible = max(0, left // max(1, need.cache // at_once))
    key = "load.concurrency" if load.concurrency else "serve.max_num_seqs, or set load.concurrency"
    advice = f"; {possible} requests of that length would fit: lower serve.max_model_len or {key}"
    return Finding(
        name="memory",
        outcome=Outcome.PASS if fits else Outcome.FAIL,
        message=said if fits else said + advice,
        candidate=need.total,
        bound=room,
        failure_class=None if fits else FailureClass.CONFIG,
    )


def _gib(size: int) -> str:
    return f"{size / _GIBIBYTE:.3g} GiB"
