"""What a run of vLLM's load generator says happened, request by request, read strictly. Pure.

The format is that of ``vllm bench serve --save-result --save-detailed`` of vLLM 0.32. It counts a request as
successful once a first token came. vLLM ends a stream that broke with status 200, so here an answer shorter
than was asked for is a failure as well: nothing else ends one early, as the end of text is ignored.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval_suites.load_runs import LoadRun

Seconds = NDArray[np.float64]

TURNED_AWAY = frozenset({"Too Many Requests", "Service Unavailable"})
"""Reason phrases of 429 and 503, by which a server says: later. vLLM's own limits on its queue answer 503."""

_NUMBERS = ("duration", "completed", "failed")
_LISTS = ("ttfts", "latencies", "start_times", "input_lens", "output_lens", "errors")
_CUT_OFF = "the answer was cut off"
_SHOWN = 120  # characters of an error


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run as it went: times in seconds, arrays [n] of the n requests that were answered in full.

    ``tpot`` is the time per token after the first. ``offered`` is how many requests per second were really
    sent, ``duration`` lasts to the last answer, ``tokens`` counts answered prompts and their answers.
    ``broken`` counts the failures other than being turned away, by what was said.
    """

    run: LoadRun
    duration: float
    offered: float
    tokens: int
    output_tokens: int
    ttft: Seconds
    tpot: Seconds
    e2e: Seconds
    turned_away: int
    broken: Mapping[str, int]

    @property
    def failed(self) -> int:
        """Requests that were not answered in full, for whatever reason."""
        return self.run.requests - self.e2e.size

    @property
    def broken_rate(self) -> float:
        """Share of the requests that failed without having been turned away."""
        return sum(self.broken.values()) / self.run.requests

    @property
    def error_rate(self) -> float:
        """Share of the requests that failed."""
        return self.failed / self.run.requests

    def good(self, ttft: float, tpot: float) -> int:
        """How many requests were answered within both times, in seconds."""
        return int(((self.ttft <= ttft) & (self.tpot <= tpot)).sum())


def read_trial(run: LoadRun, output_tokens: int, value: Any) -> Trial:
    """The trial of a run that asked for answers of ``output_tokens``; ValueError for any other JSON."""
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    numbers = {name: _number(name, value.get(name)) for name in _NUMBERS}
    lists = {name: _list(name, value.get(name), run.requests) for name in _LISTS}
    ttft, latency, start = (_times(name, lists[name]) for name in ("ttfts", "latencies", "start_times"))
    lengths = np.array([_number("output_lens", n) for n in lists["output_lens"]])
    prompts = np.array([_number("input_lens", n) for n in lists["input_lens"]])
    said = [_said(error) for error in lists["errors"]]
    begun = np.array([not error for error in said]) & (ttft > 0)
    if begun.sum() != numbers["completed"] or numbers["completed"] + numbers["failed"] != run.requests:
        counted = f"{numbers['completed']:g} answers and {numbers['failed']:g} failures"
        raise ValueError(f"it counts {counted} of {run.requests} requests, and lists {begun.sum()} answers")
    if not numbers["duration"]:
        raise ValueError("duration is 0")
    answered = begun & (lengths >= output_tokens)
    broken = Counter(e or _CUT_OFF for e, ok in zip(said, answered, strict=True) if not ok)
    turned_away = sum(broken.pop(reason, 0) for reason in TURNED_AWAY)
    return Trial(
        run=run,
        duration=numbers["duration"],
        offered=_offered(start),
        tokens=int((prompts + lengths)[answered].sum()),
        output_tokens=int(lengths[answered].sum()),
        ttft=ttft[answered],
        tpot=(latency - ttft)[answered] / (lengths[answered] - 1),
        e2e=latency[answered],
        turned_away=turned_away,
        broken=dict(broken),
    )


def _offered(start: Seconds) -> float:
    span = float(start.max() - start.min())
    return (start.size - 1) / span if span else math.inf


def _said(error: Any) -> str:
    """The last line of what is a traceback where the connection broke."""
    if not isinstance(error, str):
        raise ValueError("its errors are not text")
    lines = error.strip().splitlines()
    return lines[-1][:_SHOWN] if lines else ""


def _times(name: str, values: list[Any]) -> Seconds:
    return np.array([_number(name, value) for value in values])


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} has {str(value)[:_SHOWN]} where a number from 0 on is needed")
    return float(value)


def _list(name: str, value: Any, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise ValueError(f"{name} is no list of {length}")
    return value
