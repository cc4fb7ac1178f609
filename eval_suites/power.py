"""What a suite can tell before any model is asked: its power, the items it needs, the loss it finds. Pure.

Where a share ``f`` of the items flips, ``n`` of them move the sum of losses minus gains by ``n * f`` in
variance, and one look passes a candidate without loss when there are
``n = (z_alpha + z_power)^2 * f / margin^2`` items (the sample size of paired proportions). A plan looks
more often: in place of ``z_alpha + z_power`` stands the drift that crosses one of its bounds with the wanted
power, computed over all looks (``judging.looks``). The bounds are those of the judge's own test, half a count
and the variance under the tested loss included (``judging.paired``).

Items of one cluster are taken to flip each by itself, so that what they cost is the judge's doubt about that
alone. Where whole clusters flip, it takes as many times more items as a cluster has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval_suites.plan import Plan
from eval_suites.suite import EvalTask, Suite
from judging.looks import boundaries, crossing_chance, drift_for
from judging.paired import Tally, cluster_size

FLIPS = (0.02, 0.05, 0.10)
"""Shares of items that flip; 4-bit weights flip a few per cent of a trained model's items."""

_STEPS = 12  # towards a fixed point, half of what is left by each


@dataclass(frozen=True)
class Power:
    """What a task can tell where this share of its items flips. Chances and losses are fractions of 1.

    ``passes`` is the chance that a candidate without loss passes, ``needed`` how many items it takes until
    that is the suite's power, ``finds`` the smallest true loss that is rejected with that power; 1 for none.
    """

    flips: float
    passes: float
    needed: int
    finds: float


def passes_all(powers: Iterable[Sequence[Power]]) -> tuple[float, ...]:
    """The chance that a candidate without loss passes all tasks, for each of ``FLIPS``; as if independent.

    ``powers`` is ``power_of`` each task. Floors, and a second baseline, are more to pass.
    """
    return tuple(math.prod(power.passes for power in same) for same in zip(*powers, strict=True))


def power_of(suite: Suite, task: EvalTask, plan: Plan) -> tuple[Power, ...]:
    """What a task of the suite can tell by this plan, for each of ``FLIPS``."""
    fractions = plan.fractions(task.name)
    size = cluster_size(Counter(map(task.cluster_of, plan.asked(task.name, len(plan.looks)))).values())
    test = _Test(task.spec.margin, size, fractions, boundaries(fractions, suite.alpha))
    return tuple(_power(test, plan.items(task.name), flips, suite.spec.power) for flips in FLIPS)


@dataclass(frozen=True)
class _Test:
    """The judge of one task: margin, size of a cluster, and its looks with their bounds."""

    margin: float
    size: float
    fractions: tuple[float, ...]
    z: tuple[float, ...]

    def bounds(self, n: float, flips: float, loss: float) -> list[float]:
        """In standard deviations of what is truly there, where the judge takes its own estimate for it."""
        tally = Tally(n=n, lost=n * (flips + loss) / 2, gained=n * (flips - loss) / 2, size=self.size)
        wider = math.sqrt(tally.variance(self.margin) / (n * (flips - loss**2)))
        return [z * wider for z in self.z]


def _power(test: _Test, n: int, flips: float, power: float) -> Power:
    drift = (n * test.margin - test.size / 2) / math.sqrt(n * flips)
    passes = crossing_chance(test.fractions, test.bounds(n, flips, 0), drift)
    return Power(flips, passes, _needed(test, n, flips, power), _finds(test, n, flips, power))


def _needed(test: _Test, n: int, flips: float, power: float) -> int:
    """The n at which ``n * margin`` less half a cluster is as far above 0 as the drift wants."""
    items = float(n)
    for _ in range(_STEPS):
        spread = drift_for(test.fractions, test.bounds(items, flips, 0), power) * math.sqrt(flips)
        wanted = ((spread + math.sqrt(spread**2 + 2 * test.size * test.margin)) / (2 * test.margin)) ** 2
        items = math.sqrt(items * wanted)  # half way: with clusters the whole of it swings to and fro
    return math.ceil(items)


def _finds(test: _Test, n: int, flips: float, power: float) -> float:
    """The loss that is as far above the margin as the drift wants. What is lost has flipped."""
    loss = test.margin
    for _ in range(_STEPS):
        share = max(flips, loss)
        drift = drift_for(test.fractions, test.bounds(n, share, loss), power)
        loss = test.margin + (test.size / 2 + drift * math.sqrt(n * (share - loss**2))) / n
        if loss >= 1:
            return 1.0
    return loss
