"""The form of a suite file: what a domain owner may write, and which of it makes no sense.

A suite is data, never code. A task asks the rows of a file beside the suite, with right answers or for people
to judge, or is one of lm-eval's own, by name. A prompt is text with ``{{field}}`` placeholders and nothing
else of the template language behind it, because lm-eval renders prompts with an unsandboxed Jinja. The rows
and the files are left to ``dataset`` and ``suite``, what lm-eval's tasks are to ``tasks.named_tasks``.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

STRICT_ALPHA = 0.025
"""What regulators take for one-sided tests (ICH E9, 5.5; FDA, Non-Inferiority Clinical Trials, 2016)."""

STRICT_SUFFIX = "-strict"
"""What the profile adds to a suite's name."""

_LEAST_MARGIN = 1e-4  # a hundredth of a per cent takes tens of millions of items
_LEAST_ALPHA = 1e-6  # below, bounds of early looks are rounding errors

PLACEHOLDER = re.compile(r"(?<!\{)\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TEMPLATE_SYNTAX = re.compile(r"\{\{|\}\}|\{%|%\}|\{#|#\}")


class Kind(StrEnum):
    """How a task is asked: rank given continuations by likelihood, or generate one line greedily."""

    CHOICES = "choices"
    GENERATE = "generate"


class Metric(StrEnum):
    """What an item scores, 0 or 1: the likeliest choice is the answer, or the generated line equals it.

    The judge takes any score from 0 to 1.
    """

    ACC = "acc"
    EXACT_MATCH = "exact_match"


class ReviewMetric(StrEnum):
    """What people say of an answer, from 0 to 1: how good it is, or which share of it they changed."""

    VERDICT = "verdict"
    EDIT_RATE = "edit_rate"


class Profile(StrEnum):
    """How strictly a suite is taken: as written, or as regulated domains want it."""

    STANDARD = "standard"
    STRICT = "strict"


_METRIC_OF = {Kind.CHOICES: Metric.ACC, Kind.GENERATE: Metric.EXACT_MATCH}


def _check_prompt(prompt: str) -> str:
    rest = _TEMPLATE_SYNTAX.search(PLACEHOLDER.sub("", prompt))
    if rest:
        raise ValueError(
            f"only {{{{field}}}} placeholders are allowed, not {rest[0]!r}: a suite carries no code"
        )
    if not PLACEHOLDER.search(prompt):
        raise ValueError("names no field of the row; write it as {{field}}")
    if prompt != prompt.rstrip():
        # The continuation brings its own leading space; two in a row are other tokens than the model knows.
        raise ValueError("ends in white space; drop it, the answer is joined with one space")
    return prompt


def _check_commit(commit: str) -> str:
    if not _COMMIT.fullmatch(commit):
        raise ValueError(
            f"must be a commit with all its 40 hex digits, not {commit!r}: a branch or a tag would be other"
            " questions one day"
        )
    return commit


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Commit = Annotated[str, AfterValidator(_check_commit)]
Prompt = Annotated[str, AfterValidator(_check_prompt)]


class TaskSpec(BaseModel):
    """What every task of a suite file says: its name, and how it is judged; see ``smoke.yaml``.

    Scores and margins are fractions of 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    metric: str
    higher_is_better: bool = True
    cluster: str | None = None
    chance: float = Field(ge=0, le=1, strict=True)
    margin: float = Field(ge=_LEAST_MARGIN, lt=1, strict=True)
    strict_margin: float | None = Field(default=None, ge=_LEAST_MARGIN, lt=1, strict=True)
    floor: float | None = Field(default=None, gt=0, lt=1, strict=True)
    max_samples: int | None = Field(default=None, ge=1, strict=True)
    few_shot: int = Field(default=0, ge=0, le=64, strict=True)
    chat: bool = False

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if self.goodness(self.chance) >= 1:
            raise ValueError(f"`chance: {self.chance}` is the best score there is: nothing could be lost")
        if self.goodness(self.chance) + self.margin >= 1:
            raise ValueError(f"`margin` {self.margin} is all there is to lose above `chance: {self.chance}`")
        if self.strict_margin is not None and self.strict_margin >= self.margin:
            raise ValueError("`strict_margin` has to be smaller than `margin`")
        if self.floor is not None and self.goodness(self.floor) <= self.goodness(self.chance):
            raise ValueError("`floor` has to be better than `chance`: it keeps nothing out")
        return self

    def goodness(self, score: float) -> float:
        """A score from 0 to 1 as one of which more is better; a goodness as the score it comes from."""
        return score if self.higher_is_better else 1 - score

    @property
    def strict(self) -> Self:
        """The task by the profile ``strict``: its own strict margin, or half the margin."""
        margin = self.strict_margin or self.margin / 2
        return self.model_copy(update={"margin": margin, "strict_margin": None})


class RowsTask(TaskSpec):
    """A task over the rows of a file."""

    dataset: str = Field(min_length=1)
    prompt: Prompt
    max_tokens: int = Field(default=32, ge=1, le=4096, strict=True)

    @property
    def prompt_fields(self) -> tuple[str, ...]:
        """The fields of a row that the prompt shows."""
        return tuple(dict.fromkeys(PLACEHOLDER.findall(self.prompt)))


class LocalTask(RowsTask):
    """A task whose rows have a right answer each."""

    metric: Metric
    kind: Kind
    choices: str | None = None
    answer: str = "answer"

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.metric is not _METRIC_OF[self.kind]:
            raise ValueError(f"`kind: {self.kind}` is measured by `metric: {_METRIC_OF[self.kind]}`")
        if (self.choices is not None) is not (self.kind is Kind.CHOICES):
            raise ValueError(
                "`choices` names the row's list of choices: for `kind: choices`, and only for it"
            )
        return self


class ReviewedTask(RowsTask):
    """A task whose answers people judge, as none is the right one; see ``reviewed.yaml``. Asked greedily.

    ``chance`` and ``higher_is_better`` follow from the metric: what knows nothing gets the worst score.
    """

    metric: ReviewMetric
    max_tokens: int = Field(default=256, ge=1, le=4096, strict=True)
    few_shot: Literal[0] = 0

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        less = value.get("metric") == ReviewMetric.EDIT_RATE
        return {"higher_is_better": not less, "chance": float(less), **value}

    @model_validator(mode="after")
    def _check_direction(self) -> Self:
        if self.higher_is_better is not (self.metric is ReviewMetric.VERDICT):
            raise ValueError(
                "of a `verdict` more is better, of an `edit_rate` less: leave `higher_is_better` out"
            )
        return self


class NamedTask(TaskSpec):
    """A task of lm-eval by its name there, over its dataset at one commit of the hub.

    ``few_shot`` is written out, because lm-eval's own number differs from task to task. ``filter`` may be
    left out where the task has a single one; ``cluster`` is a field of the dataset's rows.
    """

    lm_eval: str = Field(pattern=r"^[A-Za-z0-9][\w.:-]*$")
    dataset_commit: Commit
    few_shot: int = Field(ge=0, le=64, strict=True)
    filter: str | None = None


def _form(value: Any) -> str:
    """Which form was meant, so that a mistake in it is not told as one in the other."""
    if isinstance(value, TaskSpec):
        return type(value).__name__
    if isinstance(value, dict) and "lm_eval" in value:
        return NamedTask.__name__
    reviewed = isinstance(value, dict) and value.get("metric") in list(ReviewMetric)
    return ReviewedTask.__name__ if reviewed else LocalTask.__name__


Task = Annotated[
    Annotated[LocalTask, Tag(LocalTask.__name__)]
    | Annotated[ReviewedTask, Tag(ReviewedTask.__name__)]
    | Annotated[NamedTask, Tag(NamedTask.__name__)],
    Discriminator(_form),
]


class SuiteSpec(BaseModel):
    """A suite file: tasks, the error rate (one-sided alpha) at which each is judged, and the wanted power."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    description: str = Field(min_length=1)
    alpha: float = Field(default=0.05, ge=_LEAST_ALPHA, lt=0.5, strict=True)
    power: float = Field(default=0.8, ge=0.5, lt=1, strict=True)
    tasks: tuple[Task, ...] = Field(min_length=1)

    @property
    def named(self) -> tuple[NamedTask, ...]:
        """The tasks that are lm-eval's."""
        return tuple(task for task in self.tasks if isinstance(task, NamedTask))

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [task.name for task in self.tasks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"task names are given twice: {', '.join(twice)}")
        return self

    @property
    def strict(self) -> SuiteSpec:
        """The suite by the profile ``strict``; by another name, so that neither's evidence is the other's."""
        return self.model_copy(
            update={
                "name": f"{self.name}{STRICT_SUFFIX}",
                "alpha": min(self.alpha, STRICT_ALPHA),
                "tasks": tuple(task.strict for task in self.tasks),
            }
        )
