"""What a million tokens cost on an accelerator that is kept busy, beside an API's price. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eval_suites.load_figures import to_words
from eval_suites.load_spec import LoadSpec


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """The most tokens per second that a side gave on all its accelerators, and at which step that was.

    ``saturated`` is whether it could give no more; else nobody knows how much that would be.
    """

    tokens_per_second: float
    step: str
    saturated: bool


def price_per_million(price_per_hour: float, tokens_per_second: float) -> float:
    """Of one accelerator at its price; raises ZeroDivisionError where nothing was answered."""
    return price_per_hour / 3600 / tokens_per_second * 1e6


def cost_lines(load: LoadSpec, fastest: Mapping[str, Throughput], gpus: int) -> Iterator[str]:
    """A sentence per side, which had ``gpus`` accelerators, then on the API, and whose money it is.

    Tokens of prompts and answers count alike. The price is one at full load: idle hours come on top. Of a
    side that was not saturated it is a bound from above.
    """
    for side, found in fastest.items():
        yield f"The {side} gave {_side(load, found, found.tokens_per_second / gpus)}."
    if load.api_price_per_million_tokens:
        yield f"A million tokens of the API that was named cost {load.api_price_per_million_tokens:.4g}."
    if load.gpu_price_per_hour or load.api_price_per_million_tokens:
        yield "Prices are in the currency in which the spec has them, one for all."


def _side(load: LoadSpec, found: Throughput, rate: float) -> str:
    said = f"{to_words(rate)} tokens per second and accelerator"
    if not rate:
        return said
    said += f" at {found.step}, its fastest step, and was {'' if found.saturated else 'not '}saturated"
    if not load.gpu_price_per_hour:
        return said
    price = f"{price_per_million(load.gpu_price_per_hour, rate):.4g}"
    return (
        f"{said}: a million of them cost {price}"
        if found.saturated
        else f"{said}, so a million of them cost at most {price}"
    )
