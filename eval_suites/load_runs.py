"""Which runs make up a load test, in which order, and what vLLM's load generator is told for each. Pure.

Within a repeat the load grows from the declared peak to three times of it, and then the peak is asked again:
whoever cannot cope may queue or refuse, and has to recover. At each step all sides run one after the other
with the same requests at the same moments, and who goes first changes: what the machine does beside, and
what drifts, meets them alike. No two steps share prompts, so that no prefix cache helps the later one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval_suites.load_spec import LoadSpec

PEAK, DOUBLE, TRIPLE, AGAIN = "1x", "2x", "3x", "1x again"
FACTORS: Mapping[str, int] = {PEAK: 1, DOUBLE: 2, TRIPLE: 3, AGAIN: 1}
"""How many times the declared peak each step asks, in the order of the steps of a repeat."""

CANDIDATE, WARM_UP = "candidate", "warm-up"
UNBATCHED, BATCHING = "unbatched", "batching"
"""The side that serves the candidate one request at a time, and the step at which both get the same requests.

Judged by nobody: only how long either takes is told.
"""

# With 60, the slowest twentieth is missed altogether in one run of twenty: 0.95 ** 60 is 4.6 %.
_FEWEST = 60
_FEW = 20  # enough to be served together, and soon served one by one
_PATIENCE = 10.0  # times its own length that a run may take until all has been answered, and
_GRACE = 120.0  # seconds on top


@dataclass(frozen=True, kw_only=True)
class LoadRun:
    """One run: ``requests`` at ``rate`` per second against one side."""

    side: str
    step: str
    repeat: int
    rate: float
    requests: int
    seed: int

    @property
    def name(self) -> str:
        """Its own within a load test, and fit for a file."""
        return f"{self.side}-{self.step.replace(' ', '-')}-{self.repeat}"


def runs_of(load: LoadSpec, sides: Sequence[str]) -> tuple[LoadRun, ...]:
    """All runs of the judged sides in their order, each one's warm-up first."""
    runs = [warm_up(load, side) for side in sides]
    for repeat in range(load.repeats):
        first = repeat % len(sides)
        order = [*sides[first:], *sides[:first]]
        runs += [_run(load, side, step, repeat) for step in FACTORS for side in order]
    return tuple(runs)


def warm_up(load: LoadSpec, side: str) -> LoadRun:
    """The run before all others of a server that was just started; it does not count."""
    return _run(load, side, WARM_UP, 0)


def batching_runs(load: LoadSpec) -> tuple[LoadRun, ...]:
    """The same few requests for the candidate as it is served, and served one request at a time."""
    both = (_run(load, side, BATCHING, 0) for side in (CANDIDATE, UNBATCHED))
    return (warm_up(load, UNBATCHED), *both)


def without_load_of(lost: LoadRun, runs: Iterable[LoadRun]) -> tuple[LoadRun, ...]:
    """Those runs but the ones that ask the side that was lost as much again, or whether it recovered."""
    most = FACTORS.get(lost.step, 1)
    return tuple(
        run
        for run in runs
        if run.side != lost.side or (run.step != AGAIN and FACTORS.get(run.step, 1) < most)
    )


def patience(load: LoadSpec) -> float:
    """Seconds after which a run is given up: what is queued by then is never answered."""
    return _PATIENCE * max(load.seconds, _FEWEST / load.peak_requests_per_second) + _GRACE


def bench_arguments(run: LoadRun, load: LoadSpec, *, url: str, model: str, tokenizer: Path) -> list[str]:
    """The flags of ``vllm bench serve`` that make this run; its result is to be a file named after it.

    The folder of that file is for the caller to add. Requests come at random moments (Poisson), their number
    a second does not depend on the answers, and each has exactly the declared lengths.
    """
    return [
        *("--backend", "openai"),
        *("--base-url", url),
        *("--model", model),
        *("--tokenizer", str(tokenizer)),
        *("--dataset-name", "random"),
        *("--random-input-len", str(load.prompt_tokens)),
        *("--random-output-len", str(load.output_tokens)),
        *("--num-prompts", str(run.requests)),
        *("--request-rate", repr(run.rate)),
        *("--temperature", "0"),
        *("--seed", str(run.seed)),
        *("--ready-check-timeout-sec", "0"),  # the server answered before; one that ended since is a finding
        "--disable-tqdm",
        "--save-result",
        "--save-detailed",
        *("--result-filename", f"{run.name}.json"),
    ]


def _run(load: LoadSpec, side: str, step: str, repeat: int) -> LoadRun:
    rate, steps = load.peak_requests_per_second * FACTORS.get(step, 1), [WARM_UP, *FACTORS]
    requests = _FEWEST if step == WARM_UP else max(_FEWEST, math.ceil(rate * load.seconds))
    if side == UNBATCHED or step == BATCHING:
        requests = _FEW
    number = repeat * len(FACTORS) + steps.index(step) if step in steps else 1 + load.repeats * len(FACTORS)
    return LoadRun(side=side, step=step, repeat=repeat, rate=rate, requests=requests, seed=load.seed + number)
