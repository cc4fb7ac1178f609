"""What people said of answers, read from a JSONL file, and the scores that items have by it.

A review is known by what it is of, prompt and answer: it serves every model that answers so, and lasts for as
long as the answer does. White space around either does not count. Judging is ``gate``'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from eval_suites.report import EvalReport, Item
from eval_suites.suite import Suite
from eval_suites.suite_spec import ReviewedTask, ReviewMetric
from registry.data_errors import worded
from registry.digest import Digest
from registry.errors import UsageError
from registry.strict_json import read_strictly, shown
from registry.validation import explain

Judged = tuple[ReviewMetric, str, str]
"""What a review is of: what was asked of people, the prompt, and the answer."""

_VERDICTS = {"good": 1.0, "bad": 0.0}


def _share(value: Any) -> float | None:
    """A number from 0 to 1; None for what is left blank."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"must be a number from 0 to 1, not {shown(value)}")
    return float(value)


def _verdict(value: Any) -> float | None:
    """The same, or a word."""
    if isinstance(value, str) and value.strip() in _VERDICTS:
        return _VERDICTS[value.strip()]
    try:
        return _share(value)
    except ValueError:
        raise ValueError(f"must be good, bad or a number from 0 to 1, not {shown(value)}") from None


def _reviewer(value: Any) -> Any:
    """A name without the white space around it; None for what is left blank."""
    return (value.strip() or None) if isinstance(value, str) else value


class Review(BaseModel):
    """One line: a verdict on an answer, or the share of it that was changed; blank: not judged yet."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    prompt: str = Field(min_length=1)
    answer: str
    verdict: Annotated[float | None, BeforeValidator(_verdict)] = None
    edit_rate: Annotated[float | None, BeforeValidator(_share)] = None
    reviewer: Annotated[str | None, BeforeValidator(_reviewer)] = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.verdict is not None and self.edit_rate is not None:
            raise ValueError("has both a verdict and an edit_rate; a line has one of the two")
        return self

    @property
    def said(self) -> tuple[Judged, float] | None:
        """What it is of and its score; None for a blank."""
        score = self.edit_rate if self.verdict is None else self.verdict
        metric = ReviewMetric.EDIT_RATE if self.verdict is None else ReviewMetric.VERDICT
        return None if score is None else (judged(metric, self.prompt, self.answer), score)


def judged(metric: ReviewMetric, prompt: str, answer: str) -> Judged:
    """By what a review and an item's answer find each other."""
    return metric, prompt.strip(), answer.strip()


@dataclass(frozen=True)
class Reviews:
    """The score of each answer, from 0 to 1: the mean of its reviewers. ``digest`` is the file's, if any."""

    scores: Mapping[Judged, float] = field(default_factory=dict)
    digest: Digest | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What evidence says of them."""
        return {"reviews": str(self.digest)} if self.digest else {}

    def in_vain(self, reports: Iterable[EvalReport]) -> int:
        """How many answers are judged, if none is in these reports, which they were applied to; else 0."""
        items = (item for report in reports for found in report.items.values() for item in found)
        return len(self.scores) if all(item.said is None or item.is_unjudged for item in items) else 0

    def applied(self, suite: Suite, report: EvalReport) -> EvalReport:
        """A report whose answers have the scores that people gave them, and none where nobody did."""
        scored = {
            task.name: tuple(self._scored(task.spec, task.texts[item.doc_id], item) for item in items)
            for task in suite.tasks
            if isinstance(task.spec, ReviewedTask) and (items := report.items.get(task.name))
        }
        return replace(report, items={**report.items, **scored})

    def _scored(self, spec: ReviewedTask, prompt: str, item: Item) -> Item:
        if item.said is None:
            return item
        return replace(item, value=self.scores.get(judged(spec.metric, prompt, item.said), math.nan))


def read_reviews(name: str | None, suite: Suite) -> Reviews:
    """The reviews in a JSONL file; none without one.

    Raises UsageError, naming the line, for a file that cannot be read, a line that is no review, one of a
    metric that no task of the suite has, and two of one reviewer on the same answer; and for any file, be it
    empty, where people judge nothing in the suite.
    """
    if name is None:
        return Reviews()
    path = Path(name)
    _check_asked(path, suite)
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise UsageError(
            f"the reviews {path} cannot be read",
            why=worded(problem),
            next_step="give evaluate.reviews the path of a JSONL file, relative to the spec's",
        ) from None
    scores: dict[Judged, list[float]] = {}
    first: dict[tuple[Judged, str | None], int] = {}
    for number, review in _reviews(path, data):
        if said := review.said:
            key, score = said
            _check_metric(f"{path}, line {number}", key[0], suite)
            _check_once(path, number, first.setdefault((key, review.reviewer), number))
            scores.setdefault(key, []).append(score)
    means = {key: math.fsum(found) / len(found) for key, found in scores.items()}
    return Reviews(means, Digest.of_bytes(data))


def _reviews(path: Path, data: bytes) -> Iterator[tuple[int, Review]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield number, _review(f"{path}, line {number},", line)


def _review(where: str, line: bytes) -> Review:
    try:
        return Review.model_validate(read_strictly(line))
    except ValidationError as error:
        raise explain(error, Review, where) from None
    except ValueError as problem:
        raise UsageError(
            f"{where} is not a review", why=str(problem), next_step="write one JSON object per line"
        ) from None


def _metrics(suite: Suite) -> set[ReviewMetric]:
    """What people judge in a suite."""
    return {task.spec.metric for task in suite.tasks if isinstance(task.spec, ReviewedTask)}


def _check_asked(path: Path, suite: Suite) -> None:
    if not _metrics(suite):
        raise UsageError(
            f"the reviews {path} serve nothing",
            why=f"the suite {suite.name} has no task that people judge",
            next_step="leave out evaluate.reviews, or name another suite",
        )


def _check_metric(where: str, metric: ReviewMetric, suite: Suite) -> None:
    if metric not in _metrics(suite):
        raise UsageError(
            f"{where}, has a `{metric}`",
            why=f"the suite {suite.name} has no task with `metric: {metric}`",
            next_step="name another file as evaluate.reviews, or another suite",
        )


def _check_once(path: Path, number: int, first: int) -> None:
    if first != number:
        raise UsageError(
            f"{path}, lines {first} and {number}, are of the same answer by the same reviewer",
            next_step="keep the one that counts, or name the two people as `reviewer`",
        )
