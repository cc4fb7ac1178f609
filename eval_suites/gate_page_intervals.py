"""The paired differences of a quality verdict as rows of a drawing that share one scale. Pure.

Differences are candidate less baseline, in points (hundredths of the score), the more the better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval_suites.beside import Beside
from eval_suites.comparison import CANDIDATE, FLOOR, REVIEW, describe
from eval_suites.gate_page_scale import Scale, scale_over
from judging.verdict import Finding, Interval, Outcome


@dataclass(frozen=True, kw_only=True)
class Row:
    """A finding about one task against one baseline.

    ``items`` are all that could have been asked, ``asked`` those that the candidate was.
    """

    task: str
    against: str
    outcome: Outcome
    message: str
    interval: Interval | None
    bound: float | None
    items: int | None
    asked: int | None

    @property
    def said(self) -> str:
        """What the row is of, in words."""
        named = {CANDIDATE: "no baseline", FLOOR: "its floor", REVIEW: "its reviews"}
        return named.get(self.against, f"against {self.against}")

    @property
    def used(self) -> str:
        """How many items it took, of how many."""
        if not self.interval or self.items is None:
            return ""
        used = self.interval.samples
        more = f", {self.asked} asked" if (self.asked or 0) > used else ""
        return f"all {used} items" if used == self.items else f"{used} of {self.items} items{more}"

    @property
    def shown(self) -> list[float]:
        """What the scale has to have room for."""
        if not self.interval or self.bound is None:
            return []
        return [100 * value for value in (self.interval.lower, self.interval.upper, self.bound)]


@dataclass(frozen=True)
class Intervals:
    """Rows and the scale they share; zero is on it where they are differences."""

    rows: tuple[Row, ...]
    scale: Scale
    has_zero: bool

    def at(self, share: float) -> float:
        """The place of a difference or score, a fraction of 1, in per cent of the width."""
        return self.scale.at(100 * share)


def intervals_of(
    findings: Sequence[Finding], items: Mapping[str, int], asked: Mapping[str, int]
) -> tuple[Intervals, Intervals]:
    """The rows against baselines, and those against floors; ``items`` and ``asked`` by task."""
    rows = [_row(finding, items, asked) for finding in findings]
    floors = [row for row in rows if row.against == FLOOR]
    differences = [row for row in rows if row.against != FLOOR]
    return _shared(differences, has_zero=True), _shared(floors, has_zero=False)


def beside_of(api: Beside) -> Intervals:
    """The scale of the differences to an API: of no findings, so that nobody takes them for judged."""
    found = [task.difference for task in api.tasks if task.difference]
    ends = [100 * end for reach in found for end in (reach.lower, reach.upper)]
    return Intervals((), scale_over([0.0, *ends]), has_zero=True)


def _shared(rows: Sequence[Row], *, has_zero: bool) -> Intervals:
    values = [value for row in rows for value in row.shown]
    return Intervals(tuple(rows), scale_over([*values, 0.0] if has_zero else values), has_zero)


def _row(finding: Finding, items: Mapping[str, int], asked: Mapping[str, int]) -> Row:
    against, _, task = finding.name.partition("/")
    bound = finding.bound
    if bound is not None and against != FLOOR:
        bound = -abs(bound)  # a margin: a loss, whichever way the metric is better
    return Row(
        task=task or against,
        against=against,
        outcome=finding.outcome,
        message=finding.message.removeprefix(f"{describe(task, against)}: "),
        interval=finding.interval,
        bound=bound,
        items=items.get(task),
        asked=asked.get(task),
    )
