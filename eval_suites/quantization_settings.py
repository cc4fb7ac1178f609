"""What config.json has to say of a quantization, for servers to read the weights as they are. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval_suites.quantized_layers import Scheme


def wrong_settings(scheme: Scheme, written: Mapping[str, Any]) -> list[str]:
    """Half a sentence for each setting of a ``quantization_config`` that is not what the scheme makes it."""
    wanted = _gemm(scheme) if scheme.is_gemm else _compressed(scheme)
    read = {name: _value(written, name) for name in wanted}
    return [
        f"{name} is {read[name]!r} where the recipe makes it {value!r}"
        for name, value in wanted.items()
        if read[name] != value
    ]


def _gemm(scheme: Scheme) -> dict[str, Any]:
    return {
        "quant_method": "awq",
        "version": "gemm",
        "bits": scheme.bits,
        "group_size": scheme.group_size,
        "zero_point": scheme.zero_point,
    }


def _compressed(scheme: Scheme) -> dict[str, Any]:
    weights: dict[str, Any] = {
        "num_bits": scheme.bits,
        "group_size": scheme.group_size,
        "symmetric": not scheme.zero_point,
        "strategy": "group" if scheme.group_size else "channel",
    }
    activations: dict[str, Any] = (
        {} if scheme.group_size else {"num_bits": 8, "strategy": "token", "dynamic": True}
    )
    group = {f"weights.{name}": value for name, value in weights.items()}
    group |= {f"input_activations.{name}": value for name, value in activations.items()}
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "format": "pack-quantized" if scheme.group_size else "int-quantized",
        **{f"config_groups.group_0.{name}": value for name, value in group.items()},
    }


def _value(mapping: Mapping[str, Any], dotted: str) -> Any:
    value: Any = mapping
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
