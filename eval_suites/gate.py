"""The quality gate: a candidate's report against each baseline's, task by task, as one Verdict.

Every task has to hold against every baseline (intersection-union), so alpha needs no correction: a
candidate that truly loses the margin somewhere passes at most with alpha. The items come in the order of a
plan, and the judge looks after each batch of them (``judging.looks``): the first look that decides is the
answer, however many items were asked beyond it. Before anything is compared, the measurement itself is
judged: all items scored that were asked, the same items, the same prompts, and a baseline that knows
something. Of what people judge (``reviews``), the looks count whose answers are all judged; where more are
needed, a finding says so. Pure; running models is left to tasks, the statistics to ``judging``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from eval_suites.comparison import CANDIDATE, REVIEW, Setting, compared, describe, held_to_floor, percent
from eval_suites.plan import Plan
from eval_suites.report import EvalReport, Item, pair
from eval_suites.suite import EvalTask, Suite
from eval_suites.suite_spec import ReviewedTask
from eval_suites.unjudged import judged_items, review_finding, unjudged
from judging.chance import above_chance
from judging.verdict import FailureClass, Finding, Outcome, Verdict


def judge(suite: Suite, plan: Plan, candidate: EvalReport, baselines: Mapping[str, EvalReport]) -> Verdict:
    """The verdict on a candidate; a finding per task and baseline, named ``baseline/task``.

    A task's floor has a finding of its own, named ``floor/task``, unless a comparison found the measurement
    broken. Without any baseline a task passes if the candidate beats chance, and the finding says that
    nothing was compared.
    """
    return Verdict.of(
        finding
        for task in suite.tasks
        for finding in _findings(Setting(suite, task, plan), candidate, baselines)
    )


def is_decided(verdict: Verdict) -> bool:
    """Whether more items of the candidate would change nothing: it has failed, or nothing is left open.

    Of a task that waits for people more would not be judged; the others are not held up by it.
    """
    open_yet = [f for f in verdict.findings if f.outcome is Outcome.INCONCLUSIVE]
    waiting = {_task(f) for f in open_yet if f.name.startswith(f"{REVIEW}/")}
    asked = [f for f in open_yet if _task(f) not in waiting]
    return verdict.outcome is not Outcome.INCONCLUSIVE or not asked or any(f.failure_class for f in asked)


def _task(finding: Finding) -> str:
    return finding.name.partition("/")[2]


def is_complete(suite: Suite, plan: Plan, report: EvalReport) -> bool:
    """Whether every item asked has a proper score, or an answer for people; only such a report is kept."""
    return not any(_broken(task, CANDIDATE, plan, report) for task in suite.tasks)


def _findings(
    setting: Setting, candidate: EvalReport, baselines: Mapping[str, EvalReport]
) -> Iterator[Finding]:
    task, plan = setting.task, setting.plan
    if broken := _broken(task, CANDIDATE, plan, candidate):
        yield broken
        return
    compared_with = [_against(setting, name, baseline, candidate) for name, baseline in baselines.items()]
    said = compared_with or [_alone(task, candidate, setting.suite.alpha)]
    found = [finding for finding in said if finding]
    if all(finding.outcome is not Outcome.ERROR for finding in found):
        found += _held(setting, candidate)
        if wanted := unjudged(plan, task, found, candidate, baselines):
            found.append(review_finding(task, wanted))
    yield from found


def _held(setting: Setting, candidate: EvalReport) -> list[Finding]:
    """What the task's floor says of the items that are judged; nothing where it has none, or none is."""
    task, plan = setting.task, setting.plan
    scored = candidate.of(task.name, plan.asked(task.name, candidate.looks))
    count = judged_items(plan, task.name, (scored,))
    floor = task.spec.floor
    return [held_to_floor(setting, floor, scored[:count])] if floor is not None and count else []


def _against(setting: Setting, name: str, baseline: EvalReport, candidate: EvalReport) -> Finding | None:
    """None where people have to judge the very first answers."""
    task, plan = setting.task, setting.plan
    asked = plan.asked(task.name, min(baseline.looks, candidate.looks))
    before, after = baseline.of(task.name, asked), candidate.of(task.name, asked)
    if unfit := _broken(task, name, plan, baseline) or _unpaired(task, name, before, after):
        return unfit
    count = judged_items(plan, task.name, (before, after))
    if not count:
        return None
    insensitive = _insensitive(setting, name, baseline, before[:count])
    return insensitive or compared(setting, name, before[:count], after[:count])


def _broken(task: EvalTask, name: str, plan: Plan, report: EvalReport) -> Finding | None:
    """An error if a report does not hold every item asked, with a score between 0 and 1 or for people."""
    asked = plan.asked(task.name, report.looks)
    scored = report.of(task.name, asked)
    wrong = sum(not (item.is_unjudged or 0 <= item.value <= 1) for item in scored)
    if not asked or len(scored) < len(asked):
        said = f"only {len(scored)} of {len(asked) or plan.items(task.name)} requested items were scored"
    elif wrong:
        said = f"{wrong} of {len(scored)} scores are no number between 0 and 1"
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
        why = "the chat template or tokenizer drifted, or serve.max_model_len cuts them otherwise"
        step = f"serve.chat_template and serve.max_model_len have to be those of {name}"
        return _error(task, name, f"{said}: {why}; {step}", FailureClass.CONFIG)
    return None


def _insensitive(
    setting: Setting, name: str, baseline: EvalReport, judged: tuple[Item, ...]
) -> Finding | None:
    """Inconclusive if the baseline is not clearly more than the margin better than guessing.

    Otherwise a candidate that knows nothing would be within the margin of it. Clinical trials call this
    assay sensitivity (ICH E10, 1.5). Where people judge it is asked at each look, so with a share of alpha,
    and until they have judged all of the baseline of those items that are ``judged``: more may show it.
    """
    task, alpha = setting.task, setting.suite.alpha
    spec, items = task.spec, baseline.items.get(task.name, ())
    is_partial = any(math.isnan(item.value) for item in items)
    advice = "" if is_partial else "; choose a suite this model can answer"
    if is_partial:
        items = judged
    if isinstance(spec, ReviewedTask):
        alpha /= len(setting.plan.counts(task.name))
    needed = spec.goodness(spec.chance) + spec.margin
    if needed < 1 and _is_above(task, items, needed, alpha):
        return None
    return Finding(
        name=f"{name}/{task.name}",
        outcome=Outcome.INCONCLUSIVE,
        message=(
            f"{describe(task.name, name)}: {name} scores {percent(_mean(items))}, not clearly"
            f" {_beyond(task)} by more than the margin ({percent(spec.margin)}), so a model that knows"
            f" nothing would pass{advice}"
        ),
        baseline=_mean(items),
        bound=spec.goodness(needed),
        failure_class=None if is_partial else FailureClass.CONFIG,
    )


def _alone(task: EvalTask, candidate: EvalReport, alpha: float) -> Finding | None:
    """None while people have not judged everything."""
    spec, items = task.spec, candidate.items.get(task.name, ())
    if any(math.isnan(item.value) for item in items):
        return None
    knows = _is_above(task, items, spec.goodness(spec.chance), alpha)
    said = f"{task.name}: {percent(_mean(items))} of {len(items)} items"
    return Finding(
        name=f"{CANDIDATE}/{task.name}",
        outcome=Outcome.PASS if knows else Outcome.INCONCLUSIVE,
        message=(
            f"{said}, {_beyond(task)}; nothing was compared, because there is no baseline"
            if knows
            else f"{said}, not clearly {_beyond(task)}; choose a suite this model can answer"
        ),
        candidate=_mean(items),
        bound=spec.chance,
        failure_class=None if knows else FailureClass.CONFIG,
    )


def _error(task: EvalTask, name: str, message: str, failure: FailureClass) -> Finding:
    return Finding(
        name=f"{name}/{task.name}",
        outcome=Outcome.ERROR,
        message=f"{describe(task.name, name)}: {message}",
        failure_class=failure,
    )


def _beyond(task: EvalTask) -> str:
    return f"{'above' if task.spec.higher_is_better else 'below'} guessing ({percent(task.spec.chance)})"


def _is_above(task: EvalTask, items: tuple[Item, ...], good: float, alpha: float) -> bool:
    clusters = [task.cluster_of(item.doc_id) for item in items]
    return above_chance([task.spec.goodness(item.value) for item in items], good, alpha, clusters)


def _mean(items: tuple[Item, ...]) -> float:
    return math.fsum(item.value for item in items) / len(items)
