"""How a rollout proceeds: its weights, its patience and the limits a canary has to keep.

A frozen value that refuses what cannot be judged. What the limits mean statistically is the judge's
business (``fleet/analysis.py``), when a step ends is the state machine's (``fleet/rollout.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from registry.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class RolloutPlan:
    """Weights in percent, times in seconds, rates and ratios as plain numbers (0.05 is five percent)."""

    weights: tuple[int, ...] = (5, 25, 50, 100)
    min_requests: int = 100  # answered by the canary at each weight
    step_seconds: float = 60.0  # the least time at each weight
    bake_seconds: float = 300.0  # the least time at 100 % before promotion
    step_timeout_seconds: float = 3600.0  # then the rollout pauses at its weight for a person
    prepare_timeout_seconds: float = 900.0  # to load the model and answer a first request
    observe_seconds: float = 5.0  # between two looks
    error_limit: int = 3  # looks in a row that may fail before all traffic goes back
    alpha: float = 0.05  # chance of rolling back a healthy canary, however often it is looked at
    max_error_rate: float = 0.05
    max_error_ratio: float = 1.5  # canary errors per stable error, concurrent
    max_ttft_ratio: float = 1.5  # geometric mean of the time to first token, canary over stable

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise UsageError(
                "the rollout plan cannot work",
                why="; ".join(problems),
                next_step="correct these values in the spec's `rollout` section",
            )

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        return {**asdict(self), "weights": list(self.weights)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RolloutPlan:
        """Read what ``to_json`` wrote; raises KeyError or TypeError on anything else, UsageError as ever."""
        return cls(**{**value, "weights": tuple(value["weights"])})


def _problems(plan: RolloutPlan) -> Iterator[str]:
    if list(plan.weights) != sorted(set(plan.weights)) or not all(0 < w <= 100 for w in plan.weights):
        yield f"weights must rise from above 0 to 100, not {list(plan.weights)}"
    if len(plan.weights) < 2 or plan.weights[-1] != 100:
        yield "weights need a step below 100, where the canary is compared with stable, and then 100"
    if plan.min_requests < 1:
        yield f"min_requests must be at least 1, not {plan.min_requests}"
    if plan.error_limit < 0:
        yield f"error_limit must be at least 0, not {plan.error_limit}"
    for name in ("step_timeout_seconds", "prepare_timeout_seconds", "observe_seconds"):
        if getattr(plan, name) <= 0:
            yield f"{name} must be above 0, not {getattr(plan, name)}"
    if min(plan.step_seconds, plan.bake_seconds) < 0:
        yield "step_seconds and bake_seconds must not be negative"
    yield from _limit_problems(plan)
    if plan.step_timeout_seconds <= max(plan.step_seconds, plan.bake_seconds):
        yield "step_timeout_seconds must be longer than step_seconds and bake_seconds"


def _limit_problems(plan: RolloutPlan) -> Iterator[str]:
    if not 0 < plan.alpha <= 0.2:
        yield f"alpha must be above 0 and at most 0.2, not {plan.alpha}"
    if not 0 < plan.max_error_rate < 1:
        yield f"max_error_rate must lie between 0 and 1, not {plan.max_error_rate}"
    if plan.max_error_ratio < 1 or plan.max_ttft_ratio <= 1:
        yield "max_error_ratio must be at least 1 and max_ttft_ratio above 1: equal arms never prove less"
