"""What it takes to ask one model a task: requests and tokens, counted before any model is there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval_suites.dataset import Row, render, solved
from eval_suites.suite_spec import LocalTask, RowsTask

_APART = "\n\n"  # between worked examples
_CHARACTERS_PER_TOKEN = 4  # of English text; what a tokenizer makes of it is known only with the model


@dataclass(frozen=True)
class Cost:
    """Requests to the model, tokens of their prompts (about) and of its answers (at most)."""

    requests: int
    prompt_tokens: int
    generated_tokens: int


@dataclass(frozen=True)
class ItemCost:
    """What an item of one of lm-eval's tasks takes, on average over some; prompts in characters."""

    requests: float
    characters: float
    generated: float

    def of(self, items: int) -> Cost:
        """What so many items take, about."""
        return Cost(
            requests=round(items * self.requests),
            prompt_tokens=round(items * self.characters / _CHARACTERS_PER_TOKEN),
            generated_tokens=round(items * self.generated),
        )


def cost_of(task: RowsTask, rows: Sequence[Row], asked: Iterable[int]) -> Cost:
    """What these items of a task take of a model. Each choice is a request with the prompt and one token."""
    worked = _worked(task, rows) if isinstance(task, LocalTask) else 0
    texts = [text for item in asked for text in _texts(task, rows[item])]
    return Cost(
        requests=len(texts),
        prompt_tokens=round((sum(map(len, texts)) + worked * len(texts)) / _CHARACTERS_PER_TOKEN),
        generated_tokens=len(texts) * (1 if _choices(task) else task.max_tokens),
    )


def _worked(task: LocalTask, rows: Sequence[Row]) -> float:
    """Characters of the worked examples before an item, on average."""
    return task.few_shot * sum(len(solved(task, row)) + len(_APART) for row in rows) / len(rows)


def _texts(task: RowsTask, row: Row) -> list[str]:
    prompt, choices = render(task, row), _choices(task)
    return [f"{prompt} {choice}" for choice in row[choices]] if choices else [prompt]


def _choices(task: RowsTask) -> str | None:
    return task.choices if isinstance(task, LocalTask) else None
