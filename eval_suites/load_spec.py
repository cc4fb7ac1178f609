"""What the load gate is told: the traffic that is expected, and what its users may be made to wait."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

TIMES = ("ttft", "tpot", "e2e")
"""Time to first token, time per further token, and time to the whole answer."""

PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}

_MOST_TOKENS = 10_000_000  # more than any model reads
_DAY = 86_400  # seconds
_MOST_REQUESTS = 1_000_000  # of one run: the load generator has all their prompts in memory
_MOST_FACTOR = 3  # of the peak, see load_runs.FACTORS

Milliseconds = Annotated[float, Field(gt=0, le=1000 * _DAY)]
Price = Annotated[float, Field(gt=0, le=1e9)]


class LoadSpec(BaseModel):
    """The load that a release has to bear, in a spec's ``load`` section. Prices are of any one currency."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    peak_requests_per_second: float = Field(
        ge=0.001, le=10_000, description="at the busiest time; tried up to three times"
    )
    prompt_tokens: int = Field(512, ge=1, le=_MOST_TOKENS, description="of a usual request")
    output_tokens: int = Field(128, ge=2, le=_MOST_TOKENS, description="of a usual answer")
    seconds: float = Field(60, gt=0, le=_DAY, description="how long each run goes on asking")
    repeats: int = Field(3, ge=3, le=30, description="runs of each load on each side; the medians count")
    seed: int = Field(0, ge=0, lt=2**31, description="the same seed asks the same, at the same moments")
    ttft_p95_ms: Milliseconds = Field(500, description="time to first token that 95 % keep, at the peak")
    tpot_p95_ms: Milliseconds = Field(100, description="time per further token that 95 % keep, at the peak")
    ttft_p50_ms: Milliseconds | None = Field(None, description="the same of the median; empty: only reported")
    ttft_p99_ms: Milliseconds | None = Field(None, description="the same of 99 %; empty: only reported")
    tpot_p50_ms: Milliseconds | None = Field(None, description="the same of the median; empty: only reported")
    tpot_p99_ms: Milliseconds | None = Field(None, description="the same of 99 %; empty: only reported")
    e2e_p50_ms: Milliseconds | None = Field(
        None, description="time to the whole answer; empty: only reported"
    )
    e2e_p95_ms: Milliseconds | None = Field(None, description="the same of 95 %; empty: only reported")
    e2e_p99_ms: Milliseconds | None = Field(None, description="the same of 99 %; empty: only reported")
    min_goodput: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of requests that keep ttft_p95_ms and tpot_p95_ms; empty: only reported",
    )
    max_error_rate: float = Field(0.01, ge=0, lt=1, description="share of requests that may fail")
    max_ratio: float = Field(
        1.25, gt=1, le=1000, description="how much worse than the baseline, in each of these"
    )
    show_batching: bool = Field(
        True, description="serve it one request at a time as well, to show what batching gains"
    )
    concurrency: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="requests of full length that must fit in memory; empty: serve.max_num_seqs",
    )
    gpu_memory_gib: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="of one accelerator; empty where it follows from serve.gpu_class",
    )
    cache_bytes_per_token: int | None = Field(
        None, ge=1, le=1 << 30, description="on one accelerator; empty where config.json tells it"
    )
    gpu_price_per_hour: Price | None = Field(None, description="of one accelerator, for the cost line")
    api_price_per_million_tokens: Price | None = Field(None, description="of another way to the same")

    @model_validator(mode="after")
    def _check_objectives(self) -> Self:
        bounds = self.latencies
        for short, long, why in _orders():
            if short in bounds and long in bounds and bounds[short] > bounds[long]:
                raise ValueError(f"{self._named(short)} is above {self._named(long)}: {why}")
        return self

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        requests = _MOST_FACTOR * self.peak_requests_per_second * self.seconds
        if requests > _MOST_REQUESTS:
            raise ValueError(
                f"three times {self.peak_requests_per_second:,g} requests per second for {self.seconds:,g}"
                f" seconds are {requests:,.0f} requests in one run, and {_MOST_REQUESTS:,} are the most"
                " that can be sent: lower seconds"
            )
        return self

    def _named(self, latency: str) -> str:
        field = f"{latency}_ms"
        default = "" if field in self.model_fields_set else ", the default"
        return f"{field} ({getattr(self, field):g}{default})"

    @property
    def latencies(self) -> dict[str, float]:
        """The longest times in milliseconds that are allowed at the peak, by name, such as ``ttft_p95``."""
        names = (f"{time}_{name}" for time in TIMES for name in PERCENTILES)
        bounds = {name: getattr(self, f"{name}_ms") for name in names}
        return {name: bound for name, bound in bounds.items() if bound is not None}


def _orders() -> Iterator[tuple[str, str, str]]:
    """Pairs of times of which the first is never the longer one, and why."""
    for time in TIMES:
        for few, more in itertools.combinations(PERCENTILES, 2):
            why = f"what {PERCENTILES[more]} % of requests keep, {PERCENTILES[few]} % of them keep as well"
            yield f"{time}_{few}", f"{time}_{more}", why
    for name in PERCENTILES:
        yield f"ttft_{name}", f"e2e_{name}", "an answer is not whole before its first token"
