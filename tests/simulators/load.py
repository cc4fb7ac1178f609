"""Load reports as a generator and two servers would leave them: latencies by side and step, faults on top."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval_suites.load_report import Death, LoadReport
from eval_suites.load_result import Trial
from eval_suites.load_runs import TRIPLE, WARM_UP, LoadRun, runs_of
from eval_suites.load_spec import LoadSpec

LOAD = LoadSpec(peak_requests_per_second=10, seconds=20)
SIDES = ("candidate", "source")


@dataclass(frozen=True)
class Behaviour:
    """A side's times in milliseconds as a function of the step, and shares of what goes wrong."""

    ttft: Callable[[str], float] = lambda _step: 100.0
    tpot: Callable[[str], float] = lambda _step: 20.0
    noise: float = 0.2  # sigma of the logarithm
    turned_away: Mapping[str, float] = field(default_factory=dict)
    broken: Mapping[str, float] = field(default_factory=dict)


def trial(run: LoadRun, load: LoadSpec, behaviour: Behaviour, rng: np.random.Generator) -> Trial:
    """One run of a side that behaves so."""
    away = round(run.requests * behaviour.turned_away.get(run.step, 0.0))
    broken = round(run.requests * behaviour.broken.get(run.step, 0.0))
    answered = run.requests - away - broken
    ttft = behaviour.ttft(run.step) / 1000 * rng.lognormal(0, behaviour.noise, answered)
    tpot = behaviour.tpot(run.step) / 1000 * rng.lognormal(0, behaviour.noise, answered)
    return Trial(
        run=run,
        duration=run.requests / run.rate + 1,
        offered=run.rate,
        tokens=answered * (load.prompt_tokens + load.output_tokens),
        output_tokens=answered * load.output_tokens,
        ttft=ttft,
        tpot=tpot,
        e2e=ttft + tpot * (load.output_tokens - 1),
        turned_away=away,
        broken={"boom": broken} if broken else {},
    )


def report(*behaviours: Behaviour, load: LoadSpec = LOAD, seed: int = 0, **also: Any) -> LoadReport:
    """What sides that behave so leave behind: the candidate, then its baseline."""
    sides = dict(zip(SIDES, behaviours, strict=False))
    rng = np.random.default_rng(seed)
    runs = [run for run in runs_of(load, list(sides)) if run.step != WARM_UP]
    return LoadReport(tuple(trial(run, load, sides[run.side], rng) for run in runs), **also)


def deaths(side: str, times: int, *, outside: bool = False) -> tuple[Death, ...]:
    """A server that is lost so often at three times the peak."""
    run = next(run for run in runs_of(LOAD, [side]) if run.step == TRIPLE)
    return (Death(run=run, how="stopped answering at 3x", outside=outside),) * times
