"""What the load gate is told: the traffic that is expected, and what its users may be made to wait."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

TIMES = ("ttft", "tpot", "e2e")
"""Time to first token, time per further token, and time to the whole answer."""

PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}


class LoadSpec(BaseModel):
    """The load that a release has to bear, in a spec's ``load`` section. Prices are of any one currency."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    peak_requests_per_second: float = Field(gt=0, description="at the busiest time; tried up to three times")
    prompt_tokens: int = Field(512, ge=1, description="of a usual request")
    output_tokens: int = Field(128, ge=2, description="of a usual answer")
    seconds: float = Field(60, gt=0, description="how long each run goes on asking")
    repeats: int = Field(3, ge=3, le=30, description="runs of each load on each side; the medians count")
    seed: int = Field(0, ge=0, lt=2**31, description="the same seed asks the same, at the same moments")
    ttft_p95_ms: float = Field(500, gt=0, description="time to first token that 95 % keep, at the peak")
    tpot_p95_ms: float = Field(100, gt=0, description="time per further token that 95 % keep, at the peak")
    ttft_p50_ms: float | None = Field(None, gt=0, description="the same of the median; empty: only reported")
    ttft_p99_ms: float | None = Field(None, gt=0, description="the same of 99 %; empty: only reported")
    tpot_p50_ms: float | None = Field(None, gt=0, description="the same of the median; empty: only reported")
    tpot_p99_ms: float | None = Field(None, gt=0, description="the same of 99 %; empty: only reported")
    e2e_p50_ms: float | None = Field(None, gt=0, description="time to the whole answer; empty: only reported")
    e2e_p95_ms: float | None = Field(None, gt=0, description="the same of 95 %; empty: only reported")
    e2e_p99_ms: float | None = Field(None, gt=0, description="the same of 99 %; empty: only reported")
    min_goodput: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of requests that keep ttft_p95_ms and tpot_p95_ms; empty: only reported",
    )
    max_error_rate: float = Field(0.01, ge=0, lt=1, description="share of requests that may fail")
    max_ratio: float = Field(1.25, gt=1, description="how much worse than the baseline, in each of these")
    show_batching: bool = Field(
        False, description="serve it one request at a time as well, to show what batching gains"
    )
    concurrency: int | None = Field(
        None, ge=1, description="requests of full length that must fit in memory; empty: serve.max_num_seqs"
    )
    gpu_memory_gib: float | None = Field(
        None, gt=0, description="of one accelerator; empty where it follows from serve.gpu_class"
    )
    gpu_price_per_hour: float | None = Field(None, gt=0, description="of one accelerator, for the cost line")
    api_price_per_million_tokens: float | None = Field(None, gt=0, description="of another way to the same")

    @property
    def latencies(self) -> dict[str, float]:
        """The longest times in milliseconds that are allowed at the peak, by name, such as ``ttft_p95``."""
        names = (f"{time}_{name}" for time in TIMES for name in PERCENTILES)
        bounds = {name: getattr(self, f"{name}_ms") for name in names}
        return {name: bound for name, bound in bounds.items() if bound is not None}
