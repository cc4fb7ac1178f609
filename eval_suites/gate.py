"""The quality gate: a candidate's report against each baseline's, task by task, as one Verdict.

Every task has to hold against every baseline (intersection-union), so alpha needs no correction: a
candidate that truly loses the margin somewhere passes at most with alpha. Before anything is compared,
the measurement itself is judged: all requested items scored, the same items, the same prompts, and a
baseline that knows something. Pure; running models is left to tasks, the statistics to ``judging``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from eval_suites.report import EvalReport, pair
from eval_suites.suite import EvalTask, Suite
from judging.paired import PairedResult, above_chance, non_inferiority
from judging.verdict import FailureClass, Finding, Outcome, Verdict

CANDIDATE = "candidate"


def judge(suite: Suite, candidate: EvalReport, baselines: Mapping[str, EvalReport]) -> Verdict:
    """The verdict on a candidate; a finding per task and baseline, named ``baseline/task``.

    Without any baseline a task passes if the candidate beats chance, and the finding says that nothing
    was compared.
    """
    findings: list[Finding] = []
    for task in suite.tasks:
        broken = _broken(task, CANDIDATE, candidate)
        if broken:
            findings.append(broken)
        elif not baselines:
            findings.append(_alone(task, candidate, suite.alpha))
        else:
            findings += (
                _against(task, name, baseline, candidate, suite.alpha) for name, baseline in baselines.items()
            )
    return Verdict.of(findings)


def is_complete(suite: Suite, report: EvalReport) -> bool:
    """Whether every requested item has a proper score; only such a report is worth keeping for later."""
    return not any(_broken(task, CANDIDATE, report) for task in suite.tasks)


def describe(task: str, against: str) -> str:
    """How a finding's message begins, before its colon."""
    return task if against == CANDIDATE else f"{task} against {against}"


def _against(task: EvalTask, name: str, baseline: EvalReport, candidate: EvalReport, alpha: float) -> Finding:
    unfit = (
        _broken(task, name, baseline)
        or _unpaired(task, name, baseline, candidate)
        or _insensitive(task, name, baseline, candidate, alpha)
    )
    if unfit:
        return unfit
    result = non_inferiority(baseline.values(task.name), candidate.values(task.name), task.spec.margin, alpha)
    return Finding(
        name=f"{name}/{task.name}",
        outcome=result.outcome,
        message=f"{describe(task.name, name)}: {_sentence(result, task, baseline, candidate, alpha)}",
        baseline=_accuracy(baseline, task),
        candidate=_accuracy(candidate, task),
        bound=-task.spec.margin,
        failure_class=FailureClass.MODEL if result.outcome is Outcome.FAIL else None,
    )


def _broken(task: EvalTask, name: str, report: EvalReport) -> Finding | None:
    """An error if a report does not hold every requested item with a score between 0 and 1."""
    values = report.values(task.name)
    requested = max(report.requested.get(task.name, 0), task.items)  # an engine may have asked for fewer
    wrong = sum(not 0 <= value <= 1 for value in values)
    if len(values) < requested:
        said = f"only {len(values)} of {requested} requested items were scored"
    elif wrong:
        said = f"{wrong} of {len(values)} scores are no number between 0 and 1"
    else:
        return None
    whose = "the candidate's run" if name == CANDIDATE else f"the run of {name}"
    return _error(task, name, f"{said} in {whose}; evaluate again", FailureClass.INFRA)


def _unpaired(task: EvalTask, name: str, baseline: EvalReport, candidate: EvalReport) -> Finding | None:
    """An error if the two runs did not ask the same items with the same prompts."""
    pairing = pair(baseline.items[task.name], candidate.items[task.name])
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


def _insensitive(
    task: EvalTask, name: str, baseline: EvalReport, candidate: EvalReport, alpha: float
) -> Finding | None:
    """Inconclusive if the baseline is not clearly more than the margin above chance.

    Otherwise a candidate that knows nothing would be within the margin of it. Clinical trials call this
    assay sensitivity (ICH E10, 1.5).
    """
    spec = task.spec
    if spec.chance + spec.margin < 1 and above_chance(
        baseline.values(task.name), spec.chance + spec.margin, alpha
    ):
        return None
    return Finding(
        name=f"{name}/{task.name}",
        outcome=Outcome.INCONCLUSIVE,
        message=(
            f"{describe(task.name, name)}: {name} scores {_percent(_accuracy(baseline, task))}, not clearly"
            f" more than guessing ({_percent(spec.chance)}) plus the margin ({_percent(spec.margin)}), so a"
            " model that knows nothing would pass; choose a suite this model can answer"
        ),
        baseline=_accuracy(baseline, task),
        candidate=_accuracy(candidate, task),
        bound=spec.chance + spec.margin,
        failure_class=FailureClass.CONFIG,
    )


def _alone(task: EvalTask, candidate: EvalReport, alpha: float) -> Finding:
    chance = task.spec.chance
    knows = above_chance(candidate.values(task.name), chance, alpha)
    said = f"{_percent(_accuracy(candidate, task))} of {len(candidate.values(task.name))} items"
    against = f"guessing ({_percent(chance)})"
    return Finding(
        name=f"{CANDIDATE}/{task.name}",
        outcome=Outcome.PASS if knows else Outcome.INCONCLUSIVE,
        message=(
            f"{task.name}: {said}, above {against}; nothing was compared, because there is no baseline"
            if knows
            else f"{task.name}: {said}, not clearly above {against}; choose a suite this model can answer"
        ),
        candidate=_accuracy(candidate, task),
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


def _sentence(
    result: PairedResult, task: EvalTask, baseline: EvalReport, candidate: EvalReport, alpha: float
) -> str:
    before, after = _percent(_accuracy(baseline, task)), _percent(_accuracy(candidate, task))
    return "; ".join(
        (
            f"{after} after {before}, {_points(result.estimate)} points",
            f"one-sided {100 * (1 - alpha):.4g} % bounds {_points(result.lower)} and {_points(result.upper)}",
            f"{result.flips} flips ({result.lost} lost, {result.gained} gained) in {result.n} items",
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


def _accuracy(report: EvalReport, task: EvalTask) -> float:
    values = report.values(task.name)
    return math.fsum(values) / len(values)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"
