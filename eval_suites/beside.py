"""What another model scored on the items that the candidate was asked: to see, never to judge by. Pure.

An API answers and does not say how likely it finds given answers, so only tasks that generate are compared.
Prompts differ (an API puts them into its own chat template), so items pair by their rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from eval_suites.plan import Plan
from eval_suites.report import EvalReport
from eval_suites.suite import EvalTask, Suite
from eval_suites.suite_spec import ReviewedTask
from judging.looks import boundaries
from judging.paired import PairedResult, non_inferiority
from judging.verdict import Interval

RANKED = "not comparable: it ranks answers by likelihood, which this API does not give"
REVIEWED = "not comparable: people judge its answers, and are asked to judge no more than it takes"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an API scored from ``at`` (ISO 8601) on, and the names of the models that it says answered.

    ``ranked`` are the tasks it could not be asked; ``failure`` is why it was asked no more, if it was to be.
    """

    report: EvalReport = field(default_factory=lambda: EvalReport({}))
    at: str
    models: tuple[str, ...] = ()
    ranked: tuple[str, ...] = ()
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back; a failure is of its day, and left out."""
        lists = {"models": list(self.models), "ranked": list(self.ranked)}
        return {"report": self.report.to_json(), "at": self.at, **lists}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Asked:
        """Read a mapping written by ``to_json``; raises KeyError otherwise."""
        report, models, ranked = EvalReport.from_json(value["report"]), value["models"], value["ranked"]
        return cls(report=report, at=value["at"], models=tuple(models), ranked=tuple(ranked))


@dataclass(frozen=True, kw_only=True)
class TaskBeside:
    """One task: the API's score, the candidate's, and the candidate's less the API's, the more the better.

    ``difference`` and ``score`` have one-sided bounds; where there are none, ``note`` says why.
    """

    task: str
    score: Interval | None = None
    candidate: float | None = None
    difference: Interval | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """An API beside the candidate: its name in the spec, its host, which model was asked, what came of it."""

    name: str
    host: str
    model: str
    at: str
    models: tuple[str, ...]
    tasks: tuple[TaskBeside, ...]
    failure: str = ""

    @property
    def asked(self) -> tuple[str, ...]:
        """What was asked and when, in words; and who answered, where that is not who was asked."""
        renamed = [f"which answered as {name}" for name in self.models if name != self.model]
        return f"{self.model} at {self.host}", *renamed, f"asked on {self.at[:10]}"

    @property
    def is_partial(self) -> bool:
        """Whether it answered some of what it was to be asked."""
        return bool(self.failure) and any(task.score for task in self.tasks)

    def to_json(self) -> dict[str, Any]:
        """As evidence carries it: that it could not be asked, and not what a stranger said of why."""
        told = {"models": list(self.models), "failed": bool(self.failure)}
        return {name: value for name, value in asdict(self).items() if name != "failure"} | told


def can_compare(task: EvalTask) -> bool:
    """Whether an answer scores by itself."""
    return not isinstance(task.spec, ReviewedTask)


def compare(suite: Suite, plan: Plan, candidate: EvalReport, asked: Asked) -> tuple[TaskBeside, ...]:
    """Each task of the suite, over the items that both were asked."""
    return tuple(_compared(suite, plan, task, candidate, asked) for task in suite.tasks)


def _compared(suite: Suite, plan: Plan, task: EvalTask, candidate: EvalReport, asked: Asked) -> TaskBeside:
    if not can_compare(task):
        return TaskBeside(task=task.name, note=REVIEWED)
    if task.name in asked.ranked:
        return TaskBeside(task=task.name, note=RANKED)
    doc_ids = plan.asked(task.name, min(asked.report.looks, candidate.looks))
    if not doc_ids:
        return TaskBeside(task=task.name, note="not asked")
    good = task.spec.goodness
    theirs = np.array([good(item.value) for item in asked.report.of(task.name, doc_ids)])
    ours = np.array([good(item.value) for item in candidate.of(task.name, doc_ids)])
    clusters = [task.cluster_of(doc_id) for doc_id in doc_ids]
    z = _bound(suite, plan, task, len(doc_ids))

    def gained(before: Any, after: Any) -> PairedResult:
        return non_inferiority(before, after, task.spec.margin, suite.alpha, clusters=clusters, z=z)

    alone = gained(np.ones_like(theirs), theirs)  # as a floor is judged: against one that answers everything
    score, *bounds = (good(1 + lost) for lost in (alone.estimate, alone.lower, alone.upper))
    return TaskBeside(
        task=task.name,
        score=Interval(estimate=score, lower=min(bounds), upper=max(bounds), samples=alone.n),
        candidate=good(float(ours.mean())),
        difference=gained(theirs, ours).interval,
    )


def _bound(suite: Suite, plan: Plan, task: EvalTask, items: int) -> float:
    """The z of the look after so many items: the candidate's judge chose when to stop."""
    look = plan.counts(task.name).index(items)
    return boundaries(plan.fractions(task.name), suite.alpha)[look]
