"""One task, look after look: a candidate against a baseline, and against the task's floor. Pure.

The first look that decides is the answer. Against the source, a gain that seems beyond the margin decides
nothing until it is proven or gone: what was only quantized does not improve, so chance or the measurement is
at fault. A floor is judged by the same test, against a model that answers everything, with what the floor
leaves to lose.

Scores are judged as goodness (``TaskSpec.goodness``); findings speak of them as they came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval_suites.plan import Plan
from eval_suites.report import Item
from eval_suites.suite import EvalTask, Suite
from judging.looks import boundaries
from judging.paired import PairedResult, Tally, decide, non_inferiority, tally_of
from judging.verdict import FailureClass, Finding, Interval, Outcome

CANDIDATE = "candidate"

SOURCE = "source"
"""The name of the baseline that is the same model before it was quantized."""

PRODUCTION = "production"
"""The name of the baseline that is live."""

PRODUCTION_ON_NEW_RUNTIME = "production-on-new-runtime"
"""The same, served by a runtime it was not let through on."""

BEFORE = "before"
"""The name of what the same weights scored on the runtime before, where nothing is live."""

FLOOR = "floor"
"""What stands in a finding's name where a floor was judged and no baseline."""

REVIEW = "review"
"""What stands in a finding's name where people have to judge answers first."""

_MANY = 100_000  # items: how many more is no advice

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """What a task is judged by: its suite's error rate and power, and the plan of its looks."""

    suite: Suite
    task: EvalTask
    plan: Plan

    @property
    def items(self) -> int:
        """How many items of the task are asked at most."""
        return self.plan.items(self.task.name)


@dataclass(frozen=True)
class _Look:
    """The look that ended a judgement: the first that settled it, else the last there was.

    ``gain`` is fail when one beyond the margin is proven, inconclusive when it seems to be there.
    """

    result: PairedResult
    gain: Outcome


def compared(setting: Setting, name: str, before: tuple[Item, ...], after: tuple[Item, ...]) -> Finding:
    """The candidate's items against the same items of the baseline of this name; there are some."""
    spec = setting.task.spec
    baseline, candidate = _goods(setting, before), _goods(setting, after)
    look = _looked(setting, after, (baseline, candidate), spec.margin, doubts_gain=name == SOURCE)
    n = look.result.n
    means = spec.goodness(float(baseline[:n].mean())), spec.goodness(float(candidate[:n].mean()))
    outcome, failure, conclusion = _answer(setting, look)
    said = (*_seen(setting, look.result, *means), conclusion)
    return Finding(
        name=f"{name}/{setting.task.name}",
        outcome=outcome,
        message=f"{describe(setting.task.name, name)}: {'; '.join(said)}",
        baseline=means[0],
        candidate=means[1],
        bound=-spec.margin if spec.higher_is_better else spec.margin,
        failure_class=failure,
        interval=look.result.interval,
    )


def held_to_floor(setting: Setting, floor: float, items: tuple[Item, ...]) -> Finding:
    """The candidate's items against the task's floor, whatever the baselines score; there are some."""
    spec, scores = setting.task.spec, _goods(setting, items)
    best, allowed = np.ones_like(scores), 1 - spec.goodness(floor)
    result = _looked(setting, items, (best, scores), allowed, doubts_gain=False).result
    # No score is beyond 0 or 1, whatever a normal bound says of a few items.
    goods = (min(max(1 + lost, 0.0), 1.0) for lost in (result.estimate, result.lower, result.upper))
    mean, *bounds = map(spec.goodness, goods)
    interval = Interval(estimate=mean, lower=min(bounds), upper=max(bounds), samples=result.n)
    said = (
        percent(mean) + _direction(setting),
        f"{_level(setting)} bounds {' and '.join(map(percent, sorted(bounds)))}",
        _of_items(setting, result),
        _against_floor(result, percent(floor)),
    )
    return Finding(
        name=f"{FLOOR}/{setting.task.name}",
        outcome=result.outcome,
        message=f"{describe(setting.task.name, FLOOR)}: {'; '.join(said)}",
        candidate=mean,
        bound=floor,
        failure_class=FailureClass.MODEL if result.outcome is Outcome.FAIL else None,
        interval=interval,
    )


def describe(task: str, against: str) -> str:
    """How a finding's message begins, before its colon."""
    if against in (CANDIDATE, REVIEW):
        return task
    return f"{task} against {'its floor' if against == FLOOR else against}"


def percent(fraction: float) -> str:
    """As findings show a score."""
    return f"{100 * fraction:.2f} %"


def _goods(setting: Setting, items: tuple[Item, ...]) -> Scores:
    return np.array([setting.task.spec.goodness(item.value) for item in items])


def _looked(
    setting: Setting,
    items: tuple[Item, ...],
    goods: tuple[Scores, Scores],
    margin: float,
    *,
    doubts_gain: bool,
) -> _Look:
    suite, task, plan = setting.suite, setting.task, setting.plan
    baseline, candidate = goods
    clusters = [task.cluster_of(item.doc_id) for item in items]
    limits = boundaries(plan.fractions(task.name), suite.alpha)
    for n, z in zip(plan.counts(task.name), limits, strict=True):
        tally = tally_of(candidate[:n] - baseline[:n], clusters[:n])
        gain = _gain(tally, margin, z) if doubts_gain else Outcome.PASS
        open_yet = gain is Outcome.INCONCLUSIVE or decide(tally, margin, z) is Outcome.INCONCLUSIVE
        if n >= len(items) or not open_yet:
            break
    result = non_inferiority(
        baseline[:n], candidate[:n], margin, suite.alpha, clusters=clusters[:n], z=z, power=suite.spec.power
    )
    return _Look(result, gain)


def _gain(tally: Tally, margin: float, z: float) -> Outcome:
    if tally.gained - tally.lost <= tally.n * margin:
        return Outcome.PASS
    return Outcome.FAIL if tally.z_below(-margin) > z else Outcome.INCONCLUSIVE


def _answer(setting: Setting, look: _Look) -> tuple[Outcome, FailureClass | None, str]:
    """What the look comes to, whose fault it is, and in words."""
    result, allowed = look.result, f"the margin of {100 * setting.task.spec.margin:.4g} points"
    if look.gain is Outcome.FAIL:
        said = (
            f"the gain is more than {allowed}, which quantizing alone does not bring; look for items of the"
            " suite among the calibration texts, and for a source that is served wrongly"
        )
        return Outcome.INCONCLUSIVE, FailureClass.CONFIG, said
    if look.gain is Outcome.INCONCLUSIVE and result.n < setting.items:
        said = f"a gain of more than {allowed} is not likely real; more items will tell"
        return Outcome.INCONCLUSIVE, None, said
    if result.outcome is Outcome.PASS:
        return Outcome.PASS, None, f"the loss is within {allowed}"
    if result.outcome is Outcome.FAIL:
        return Outcome.FAIL, FailureClass.MODEL, f"the loss is more than {allowed}"
    return (
        Outcome.INCONCLUSIVE,
        None,
        f"too few items to place the loss on one side of {allowed}; {_needed(result)}",
    )


def _against_floor(result: PairedResult, floor: str) -> str:
    if result.outcome is Outcome.INCONCLUSIVE:
        return f"too few items to place it on one side of the floor of {floor}; {_needed(result)}"
    return f"it is {'better' if result.outcome is Outcome.PASS else 'worse'} than the floor of {floor}"


def _needed(result: PairedResult) -> str:
    if not result.needed_n:
        return "no number of items would, at these rates"
    needed = f"about {result.needed_n}" if result.needed_n <= _MANY else f"more than {_MANY}"
    return f"{needed} items would, at these rates"


def _seen(setting: Setting, result: PairedResult, before: float, after: float) -> Iterator[str]:
    sign = 1 if setting.task.spec.higher_is_better else -1
    bounds = sorted((sign * result.lower, sign * result.upper))
    moved = f"{percent(after)} after {percent(before)}, {_points(sign * result.estimate)} points"
    yield moved + _direction(setting)
    yield f"{_level(setting)} bounds {' and '.join(map(_points, bounds))}"
    flips = f"{result.flips} flips ({result.lost} lost, {result.gained} gained)"
    yield f"{flips} {_of_items(setting, result)}"


def _level(setting: Setting) -> str:
    return f"one-sided {100 * (1 - setting.suite.alpha):.4g} %"


def _direction(setting: Setting) -> str:
    return "" if setting.task.spec.higher_is_better else ", where less is better"


def _of_items(setting: Setting, result: PairedResult) -> str:
    return f"in {result.n} items" if result.n == setting.items else f"in {result.n} of {setting.items} items"


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"
