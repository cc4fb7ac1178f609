"""Which items flipped between a baseline and a candidate, for people to read. Pure; judging is ``gate``'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eval_suites.plan import Plan
from eval_suites.report import EvalReport, Item
from eval_suites.suite import Suite
from eval_suites.suite_spec import TaskSpec
from eval_suites.texts import ItemText, Place
from judging.verdict import Verdict

MOST_SHOWN = 50
"""Of a task against a baseline: a page is to be read, not searched."""


@dataclass(frozen=True)
class Flip:
    """An item that scored otherwise: both scores, what was gained (below 0: lost), texts that were kept."""

    doc_id: int
    before: float
    after: float
    gain: float
    baseline: ItemText | None = None
    candidate: ItemText | None = None

    @property
    def lost(self) -> bool:
        """Whether the candidate scores worse."""
        return self.gain < 0


@dataclass(frozen=True)
class TaskFlips:
    """The flips of a task against a baseline: how many of each there are, and those that are shown."""

    task: str
    baseline: str
    lost: int
    gained: int
    shown: tuple[Flip, ...]

    @property
    def left_out(self) -> int:
        """How many flips are not shown."""
        return self.lost + self.gained - len(self.shown)

    @property
    def places(self) -> list[Place]:
        """The items that are shown."""
        return [(self.task, flip.doc_id) for flip in self.shown]

    def with_texts(
        self, baseline: Mapping[Place, ItemText], candidate: Mapping[Place, ItemText]
    ) -> TaskFlips:
        """The same with what each side was asked and answered, where that is known."""
        shown = (
            replace(flip, baseline=baseline.get(place), candidate=candidate.get(place))
            for place, flip in zip(self.places, self.shown, strict=True)
        )
        return replace(self, shown=tuple(shown))


def flips_of(
    spec: TaskSpec, name: str, doc_ids: Sequence[int], baseline: EvalReport, candidate: EvalReport
) -> TaskFlips:
    """The flips among these items: what was lost first, the most of it at the top; at most ``MOST_SHOWN``."""
    before, after = baseline.of(spec.name, doc_ids), candidate.of(spec.name, doc_ids)
    found = [_flip(spec, b, a) for b, a in zip(before, after, strict=True) if b.value != a.value]
    found.sort(key=lambda flip: (flip.gain, flip.doc_id))
    lost = sum(flip.lost for flip in found)
    return TaskFlips(spec.name, name, lost, len(found) - lost, tuple(found[:MOST_SHOWN]))


def flips_behind(
    suite: Suite, verdict: Verdict, plan: Plan, candidate: EvalReport, baselines: Mapping[str, EvalReport]
) -> list[TaskFlips]:
    """The flips that a quality verdict rests on, of each task and baseline that has any, in its order."""
    found, specs = [], {task.name: task.spec for task in suite.tasks}
    for finding in verdict.findings:
        name, _, task = finding.name.partition("/")
        if finding.interval and name in baselines:
            doc_ids = plan.asked(task, candidate.looks)[: finding.interval.samples]
            found.append(flips_of(specs[task], name, doc_ids, baselines[name], candidate))
    return [flips for flips in found if flips.shown]


def _flip(spec: TaskSpec, before: Item, after: Item) -> Flip:
    gain = spec.goodness(after.value) - spec.goodness(before.value)
    return Flip(before.doc_id, before.value, after.value, gain)
