"""What a million tokens cost on an accelerator that is kept busy, beside an API's price. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from eval_suites.load_figures import to_words
from eval_suites.load_spec import LoadSpec


def price_per_million(price_per_hour: float, tokens_per_second: float) -> float:
    """Of one accelerator at its price; raises ZeroDivisionError where nothing was answered."""
    return price_per_hour / 3600 / tokens_per_second * 1e6


def cost_lines(load: LoadSpec, tokens_per_second: Mapping[str, float], gpus: int) -> Iterator[str]:
    """A sentence per side with the most tokens per second it gave on ``gpus`` accelerators together.

    Tokens of prompts and answers count alike. The price is one at full load: idle hours come on top.
    """
    for side, total in tokens_per_second.items():
        rate = total / gpus
        said = f"The {side} gave {to_words(rate)} tokens per second and accelerator"
        if load.gpu_price_per_hour and rate:
            said += f": {price_per_million(load.gpu_price_per_hour, rate):.4g} per million at full load"
        yield f"{said}."
    if load.api_price_per_million_tokens:
        yield f"The API that was named takes {load.api_price_per_million_tokens:.4g} per million tokens."
