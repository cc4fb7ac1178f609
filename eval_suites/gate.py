"""The quality gate: a candidate's report against each baseline's, task by task, as one Verdict.

Every task has to hold against every baseline (intersection-union), so alpha needs no correction: a
candidate that truly loses the margin somewhere passes at most with alpha. The items come in the order of a
plan, and the judge looks after each batch of them (``judging.looks``): the first look that decides is the
answer, however many items were asked beyond it. Before anything is compared, the measurement itself is
judged: all items scored that were asked, the same items, the same prompts, and a baseline that knows
something. Pure; running models is left to tasks, the statistics to ``judging``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from eval_suites.plan import Plan
from eval_suites.report import EvalReport, Item, pair
from eval_suites.suite import EvalTask, Suite
from judging.looks import boundaries
from judging.paired import PairedResult, above_chance, decide, non_inferiority, tally_of
from judging.verdict import FailureClass, Finding, Outcome, Verdict

CANDIDATE = "candidate"


def judge(suite: Suite, plan: Plan, candidate: EvalReport, baselines: Mapping[str, EvalReport]) -> Verdict:
    """The verdict on a candidate; a finding per task and baseline, named ``baseline/task``.

    Without any baseline a task passes if the candidate beats chance, and the finding says that nothing
    was compared.
    """
    findings: list[Finding] = []
    for task in suite.tasks:
        broken = _broken(task, CANDIDATE, plan, candidate)
        if broken:
            findings.append(broken)
        elif not baselines:
            findings.append(_alone(task, candidate, suite.alpha))
        else:
            findings += (
                _against(task, name, plan, baseline, candidate, suite.alpha)
                for name, baseline in baselines.items()
            )
    return Verdict.of(findings)


def is_decided(verdict: Verdict) -> bool:
    """Whether more items of the candidate would change nothing: it has failed, or nothing is left open."""
    open_yet = [f for f in verdict.findings if f.outcome is Outcome.INCONCLUSIVE]
    return verdict.outcome is not Outcome.INCONCLUSIVE or any(f.failure_class for f in open_yet)


def is_complete(suite: Suite, plan: Plan, report: EvalReport) -> bool:
    """Whether every item that was asked has a proper score; only such a report is worth keeping."""
    return not any(_broken(task, CANDIDATE, plan, report) for task in suite.tasks)


def describe(task: str, against: str) -> str:
    """How a finding's message begins, before its colon."""
    return task if against == CANDIDATE else f"{task} against {against}"


def _against(
    task: EvalTask, name: str, plan: Plan, baseline: EvalReport, candidate: EvalReport, alpha: float
) -> Finding:
    looks = min(baseline.looks, candidate.looks)
    asked = plan.asked(task.name, looks)
    before, after = baseline.of(task.name, asked), candidate.of(task.name, asked)
    unfit = (
        _broken(task, name, plan, baseline)
        or _unpaired(task, name, before, after)
        or _insensitive(task, name, baseline, alpha)
    )
    return unfit or _compared(task, name, _looked(task, plan, before, after, alpha), alpha)


@dataclass(frozen=True)
class _Look:
    """What the judge saw at the look that ended it, and the mean scores of the items it had by then."""

    result: PairedResult
    baseline: float
    candidate: float


def _looked(
    task: EvalTask, plan: Plan, before: tuple[Item, ...], after: tuple[Item, ...], alpha: float
) -> _Look:
    """The first look that decides, else the last of these. There are items to look at."""
    counts = sorted({len(plan.asked(task.name, n + 1)) for n in range(len(plan.looks))} - {0})
    clusters = [task.cluster_of(item.doc_id) for item in after]
    baseline, candidate = (np.array([item.value for item in items]) for items in (before, after))
    margin = task.spec.margin
    for n, z in zip(counts, boundaries([count / task.items for count in counts], alpha), strict=True):
        tally = tally_of(candidate[:n] - baseline[:n], clusters[:n])
        if n >= len(after) or decide(tally, margin, z) is not Outcome.INCONCLUSIVE:
            break
    result = non_inferiority(baseline[:n], candidate[:n], margin, alpha, clusters=clusters[:n], z=z)
    return _Look(result, float(baseline[:n].mean()), float(candidate[:n].mean()))


def _compared(task: EvalTask, name: str, look: _Look, alpha: float) -> Finding:
    return Finding(
        name=f"{name}/{task.name}",
        outcome=look.result.outcome,
        message=f"{describe(task.name, name)}: {_sentence(look, task, alpha)}",
        baseline=look.baseline,
        candidate=look.candidate,
        bound=-task.spec.margin,
        failure_class=FailureClass.MODEL if look.result.outcome is Outcome.FAIL else None,
        interval=look.result.interval,
    )


def _broken(task: EvalTask, name: str, plan: Plan, report: EvalReport) -> Finding | None:
    """An error if a report does not hold every item that was asked, with a score between 0 and 1."""
    asked = plan.asked(task.name, report.looks)
    values = [item.value for item in report.of(task.name, asked)]
    wrong = sum(not 0 <= value <= 1 for value in values)
    if not asked or len(values) < len(asked):
        said = f"only {len(values)} of {len(asked) or task.items} requested items were scored"
    elif wrong:
        said = f"{wrong} of {len(values)} scores are no number between 0 and 1"
    else:
        return None
    whose = "the candidate's run" if name == CANDIDATE else f"the run of {name}"
    return _error(task, name, f"{said} in {whose}; evaluate again", FailureClass.INFRA)


def _unpaired(task: EvalTask, name: str, before: tuple[Item, ...], after: tuple[Item, ...]) -> Finding | None:
    """An error if the two runs did not ask the same items with the same prompts."""
    pairing = pair(before, after)
    if pairing.unmatched:
        said = (
            f"{len(pairing.unmatched)} items differ between the two runs, first item {pairing.unmatched[0]}"
        )
        return _error(task, name, f"{said}; evaluate both on the same suite", FailureClass.INFRA)
    if pairing.drifted:
        said = f"{len(pairing.drifted)} prompts differ, first that of item {pairing.drifted[0]}"
        why = "the chat template or tokenizer drifted, so the answers cannot be compared"
        return _error(task, name, f"{said}: {why}", FailureClass.CONFIG)
    return None


def _insensitive(task: EvalTask, name: str, baseline: EvalReport, alpha: float) -> Finding | None:
    """Inconclusive if the baseline is not clearly more than the margin above chance.

    Otherwise a candidate that knows nothing would be within the margin of it. Clinical trials call this
    assay sensitivity (ICH E10, 1.5).
    """
    spec, values = task.spec, _values(baseline, task)
    if spec.chance + spec.margin < 1 and above_chance(values, spec.chance + spec.margin, alpha):
        return None
    return Finding(
        name=f"{name}/{task.name}",
        outcome=Outcome.INCONCLUSIVE,
        message=(
            f"{describe(task.name, name)}: {name} scores {_percent(_mean(values))}, not clearly"
            f" more than guessing ({_percent(spec.chance)}) plus the margin ({_percent(spec.margin)}), so a"
            " model that knows nothing would pass; choose a suite this model can answer"
        ),
        baseline=_mean(values),
        bound=spec.chance + spec.margin,
        failure_class=FailureClass.CONFIG,
    )


def _alone(task: EvalTask, candidate: EvalReport, alpha: float) -> Finding:
    chance, values = task.spec.chance, _values(candidate, task)
    knows = above_chance(values, chance, alpha)
    said, against = f"{_percent(_mean(values))} of {len(values)} items", f"guessing ({_percent(chance)})"
    return Finding(
        name=f"{CANDIDATE}/{task.name}",
        outcome=Outcome.PASS if knows else Outcome.INCONCLUSIVE,
        message=(
            f"{task.name}: {said}, above {against}; nothing was compared, because there is no baseline"
            if knows
            else f"{task.name}: {said}, not clearly above {against}; choose a suite this model can answer"
        ),
        candidate=_mean(values),
        bound=chance,
        failure_class=None if knows else FailureClass.CONFIG,
    )


def _error(task: EvalTask, name: str, message: str, failure: FailureClass) -> Finding:
    return Finding(
        name=f"{name}/{task.name}",
        outcome=Outcome.ERROR,
        message=f"{describe(task.name, name)}: {message}",
        failure_class=failure,
    )


def _sentence(look: _Look, task: EvalTask, alpha: float) -> str:
    result, before, after = look.result, _percent(look.baseline), _percent(look.candidate)
    of_all = "" if result.n == task.items else f" of {task.items}"
    return "; ".join(
        (
            f"{after} after {before}, {_points(result.estimate)} points",
            f"one-sided {100 * (1 - alpha):.4g} % bounds {_points(result.lower)} and {_points(result.upper)}",
            f"{result.flips} flips ({result.lost} lost, {result.gained} gained) in {result.n}{of_all} items",
            *_conclusion(result, task.spec.margin),
        )
    )


def _conclusion(result: PairedResult, margin: float) -> Iterator[str]:
    allowed = f"the margin of {100 * margin:.4g} points"
    if result.outcome is Outcome.PASS:
        yield f"the loss is within {allowed}"
    elif result.outcome is Outcome.FAIL:
        yield f"the loss is more than {allowed}"
    else:
        needed = f"about {result.needed_n} items" if result.needed_n else "no number of items"
        yield f"too few items to place the loss on one side of {allowed}; {needed} would, at these rates"


def _values(report: EvalReport, task: EvalTask) -> tuple[float, ...]:
    return tuple(item.value for item in report.items.get(task.name, ()))


def _mean(values: tuple[float, ...]) -> float:
    return math.fsum(values) / len(values)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"
