"""The form of a suite file: what a domain owner may write, and which of it makes no sense.

A suite is data, never code. A task asks the rows of a file beside the suite, or is one of lm-eval's own, by
name. A prompt is text with ``{{field}}`` placeholders and nothing else of the template language behind it,
because lm-eval renders prompts with an unsandboxed Jinja. The rows and the files are left to ``dataset`` and
``suite``, what lm-eval's tasks are to ``tasks.named_tasks``.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TEMPLATE_SYNTAX = re.compile(r"\{\{|\}\}|\{%|%\}|\{#|#\}")


class Kind(StrEnum):
    """How a task is asked: rank given continuations by likelihood, or generate one line greedily."""

    CHOICES = "choices"
    GENERATE = "generate"


class Metric(StrEnum):
    """What an item scores, 0 or 1: the likeliest choice is the answer, or the generated line equals it."""

    ACC = "acc"
    EXACT_MATCH = "exact_match"


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
    """What every task of a suite file says: how it is judged, and by which name."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    metric: str
    cluster: str | None = None
    chance: float = Field(ge=0, lt=1)
    margin: float = Field(gt=0, lt=1)
    few_shot: int = Field(default=0, ge=0, le=64)
    chat: bool = False


class LocalTask(TaskSpec):
    """A task over the rows of a file; the fields are explained in the example suite."""

    metric: Metric
    dataset: str = Field(min_length=1)
    kind: Kind
    prompt: Prompt
    choices: str | None = None
    answer: str = "answer"
    max_tokens: int = Field(default=32, ge=1, le=4096)

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.metric is not _METRIC_OF[self.kind]:
            raise ValueError(f"`kind: {self.kind}` is measured by `metric: {_METRIC_OF[self.kind]}`")
        if (self.choices is not None) is not (self.kind is Kind.CHOICES):
            raise ValueError(
                "`choices` names the row's list of choices: for `kind: choices`, and only for it"
            )
        return self

    @property
    def prompt_fields(self) -> tuple[str, ...]:
        """The fields of a row that the prompt shows."""
        return tuple(dict.fromkeys(PLACEHOLDER.findall(self.prompt)))


class NamedTask(TaskSpec):
    """A task of lm-eval by its name there, over its dataset at one commit of the hub.

    ``few_shot`` is written out, because lm-eval's own number differs from task to task. ``filter`` may be
    left out where the task has a single one; ``cluster`` is a field of the dataset's rows.
    """

    lm_eval: str = Field(pattern=r"^[A-Za-z0-9][\w.:-]*$")
    dataset_commit: Commit
    few_shot: int = Field(ge=0, le=64)
    filter: str | None = None


def _form(value: Any) -> str:
    """Which form was meant, so that a mistake in it is not told as one in the other."""
    named = "lm_eval" in value if isinstance(value, dict) else isinstance(value, NamedTask)
    return NamedTask.__name__ if named else LocalTask.__name__


Task = Annotated[
    Annotated[LocalTask, Tag(LocalTask.__name__)] | Annotated[NamedTask, Tag(NamedTask.__name__)],
    Discriminator(_form),
]


class SuiteSpec(BaseModel):
    """A suite file: tasks, and the error rate (one-sided alpha) at which each is judged."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    description: str = Field(min_length=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
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
