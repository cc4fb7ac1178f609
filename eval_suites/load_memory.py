"""Does a release fit its accelerator at full length and concurrency? Asked before a server is started. Pure.

What vLLM holds: the weights, a KV cache, and what one step computes with. The weights' bytes are exact. The
cache takes per token 2 (key and value) x layers x key-value heads x head size x bytes of a number, and of
latent attention (DeepSeek) the latent and its rotary part, once, on each accelerator; a layer with a sliding
window keeps only that. Activations are estimated from the largest step that vLLM 0.32 takes by default. CUDA
graphs are left out: this finds what cannot fit, and the observed peak tells the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval_suites.load_spec import LoadSpec
from eval_suites.model_shape import Shape, Untold, shape_of
from judging.unit import Unit
from judging.verdict import FailureClass, Finding, Outcome
from registry.version import ServeConfig

_MEBIBYTE = 1 << 20
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

    ``memory`` None is a class whose memory nobody knows, which is an error for the spec to mend. Where
    config.json does not say what the cache takes, weights that do not fit alone fail, and others are
    inconclusive until the spec says it.
    """
    return [
        _length(load, serve),
        _unknown() if memory is None else _room(load, serve, config, weights, memory),
    ]


def _room(
    load: LoadSpec, serve: ServeConfig, config: Mapping[str, Any], weights: int, memory: int
) -> Finding:
    room = int(memory * serve.gpu_memory_utilization)
    try:
        return _fits(load, serve, need_of(load, serve, config, weights), room)
    except Untold as problem:
        return _weights_alone(weights // serve.tensor_parallel_size, room, problem.keys)


def need_of(load: LoadSpec, serve: ServeConfig, config: Mapping[str, Any], weights: int) -> Need:
    """What one accelerator of the release has to hold; raises Untold where nobody says what its cache takes.

    What the spec says of the cache counts before what config.json says. Where that says nothing at all, no
    activations are counted.
    """
    share, said = serve.tensor_parallel_size, load.cache_bytes_per_token
    try:
        shape = shape_of(config)
    except Untold:
        if said is None:
            raise
        return Need(weights // share, _concurrency(load, serve) * said * serve.max_model_len, 0)
    sequence = said * serve.max_model_len if said else _cache_of_sequence(shape, serve)
    step = _STEP * (4 * shape.hidden + 3 * shape.inner // share) * _BYTES
    logits = serve.max_num_seqs * shape.vocabulary * 4  # float32
    return Need(weights // share, _concurrency(load, serve) * sequence, step + logits)


def _cache_of_sequence(shape: Shape, serve: ServeConfig) -> int:
    """Bytes of the cache of one sequence of full length, on one accelerator."""
    number = 1 if _cache_is_fp8(serve.extra_args) else _BYTES
    heads = max(1, shape.key_value_heads // serve.tensor_parallel_size)
    return (shape.latent or 2 * heads * shape.head_size) * number * shape.kept(serve.max_model_len)


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


def _weights_alone(weights: int, room: int, missing: list[str]) -> Finding:
    """Of a model whose cache nobody knows: only its weights can say no, and nothing can say yes."""
    fits, says = weights <= room, Unit.BYTES.says
    said = f"{says(weights)} of weights alone, of the {says(room)} that the server may take"
    advice = (
        f"; config.json does not say {', '.join(missing)}, so nobody knows what the cache takes: say"
        " load.cache_bytes_per_token (vLLM prints the memory and the tokens of its cache when it starts)"
        if fits
        else ": take a larger serve.gpu_class or serve.tensor_parallel_size"
    )
    return Finding(
        name="memory",
        outcome=Outcome.INCONCLUSIVE if fits else Outcome.FAIL,
        message=said + advice,
        candidate=weights,
        bound=room,
        failure_class=FailureClass.CONFIG,
        unit=Unit.BYTES,
    )


def _fits(load: LoadSpec, serve: ServeConfig, need: Need, room: int) -> Finding:
    at_once = _concurrency(load, serve)
    fits, says = need.total <= room, Unit.BYTES.says
    said = (
        f"{says(need.weights)} of weights, {says(need.cache)} of cache for {at_once} requests of"
        f" {serve.max_model_len} tokens and about {says(need.activations)} of activations,"
        f" {says(need.total)} of the {says(room)} that the server may take"
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
        unit=Unit.BYTES,
        failure_class=None if fits else FailureClass.CONFIG,
    )
