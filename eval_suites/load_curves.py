"""A load test's latencies as the gates' page draws them: candidate beside baseline, over load. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from eval_suites.gate_page_curves import LoadCurves, LoadPoint
from eval_suites.load_runs import AGAIN, CANDIDATE, FACTORS, UNBATCHED
from eval_suites.load_spec import PERCENTILES, LoadSpec

Medians = Mapping[str, Mapping[str, float | None]]
"""Of a side: figures in milliseconds by step and name."""


def curves_of(load: LoadSpec, medians: Mapping[str, Medians]) -> tuple[LoadCurves, ...]:
    """Time to first token and time per further token, of a report's ``summary`` or as evidence has it.

    Of whole answers, too, where they have an objective. The candidate comes first. Steps at which nothing was
    answered are left out.
    """
    sides = sorted(medians, key=lambda side: side != CANDIDATE)
    found = {side: medians[side] for side in sides if side != UNBATCHED}
    limits = {metric: _limits(load, metric.lower()) for metric in ("TTFT", "TPOT", "e2e")}
    return tuple(
        LoadCurves(
            metric=metric,
            unit="ms",
            series={side: tuple(_points(steps, metric.lower())) for side, steps in found.items()},
            limits=bounds,
        )
        for metric, bounds in limits.items()
        if found and bounds
    )


def _limits(load: LoadSpec, metric: str) -> dict[str, float]:
    """What is allowed of a time in milliseconds, by its percentile."""
    allowed = load.latencies
    return {name: allowed[f"{metric}_{name}"] for name in PERCENTILES if f"{metric}_{name}" in allowed}


def _points(steps: Medians, metric: str) -> Iterator[LoadPoint]:
    for step in FACTORS:
        values = {name: steps.get(step, {}).get(f"{metric}_{name}_ms") for name in PERCENTILES}
        known = {name: value for name, value in values.items() if value is not None}
        if step != AGAIN and len(known) == len(values):
            yield LoadPoint(times=FACTORS[step], **known)
