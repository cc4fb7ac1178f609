"""What one model scored, item by item, and how the items of two models pair up.

Read from the evaluation engine's result and kept as evidence. Scores are carried as they came,
missing and non-finite ones included; what they mean is left to ``gate``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.digest import Digest
from registry.strict_json import shown


@dataclass(frozen=True, order=True)
class Item:
    """One scored item: which row, which text the model saw (lm-eval's hashes), and its score.

    ``said`` is the whole answer where people judge it, and None elsewhere.
    """

    doc_id: int
    doc_hash: str
    prompt_hash: str
    value: float
    said: str | None = None

    @property
    def is_unjudged(self) -> bool:
        """Whether it has no score because nobody has judged the answer yet."""
        return self.said is not None and math.isnan(self.value)


@dataclass(frozen=True)
class EvalReport:
    """Per task the items in the order of doc_id, each at most once, and how many looks were asked.

    ``texts`` names what was kept of the items' texts, look by look (``texts``): none in older reports.
    """

    items: Mapping[str, tuple[Item, ...]]
    looks: int = 0
    texts: tuple[Digest, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EvalReport:
        """Read what ``to_json`` or an engine wrote, and nothing into it: what is no number stays none.

        Raises KeyError, TypeError, ValueError or OverflowError for any other form.
        """
        items: dict[str, dict[int, Item]] = {}
        if not isinstance(value["samples"], list):
            raise TypeError("samples is no list")
        for sample in value["samples"]:
            item, task = _item(sample), _text(sample, "task")
            if items.setdefault(task, {}).setdefault(item.doc_id, item) is not item:
                raise ValueError(f"task {task} scored item {item.doc_id} twice")
        by_task = {task: tuple(sorted(found.values())) for task, found in items.items()}
        return cls(by_task, _count(value, "looks"), tuple(map(Digest.parse, value.get("texts", ()))))

    def to_json(self) -> dict[str, Any]:
        """A mapping in the engine's own form; a score that is no finite number is null."""
        samples = [_sample(task, item) for task, items in sorted(self.items.items()) for item in items]
        return {"samples": samples, "looks": self.looks, "texts": list(map(str, self.texts))}

    def of(self, task: str, doc_ids: Iterable[int]) -> tuple[Item, ...]:
        """The items of a task in this order, without those that were not scored."""
        scored = _by_id(self.items.get(task, ()))
        return tuple(scored[doc_id] for doc_id in doc_ids if doc_id in scored)

    def check_asked(self, asked: Mapping[str, Collection[int]], by_people: Collection[str]) -> None:
        """Raises ValueError for an item that is not among those ``asked``, doc_ids by task.

        And for one that has an answer for people where they judge none, or none in a task ``by_people``.
        """
        for task, items in self.items.items():
            wanted = set(asked.get(task, ()))
            for item in items:
                if item.doc_id not in wanted:
                    raise ValueError(f"item {item.doc_id} of task {task} was not asked")
                if (item.said is not None) != (task in by_people):
                    needs = "has no answer for people to judge" if task in by_people else "is not for people"
                    raise ValueError(f"item {item.doc_id} of task {task} {needs}")

    def with_look(self, look: EvalReport) -> EvalReport:
        """This report and what the next look brought; raises ValueError for an item that is in both."""
        for task, items in look.items.items():
            if twice := _by_id(items).keys() & _by_id(self.items.get(task, ())).keys():
                raise ValueError(f"task {task} scored item {min(twice)} twice")
        tasks = [*self.items, *(task for task in look.items if task not in self.items)]
        both = {t: tuple(sorted((*self.items.get(t, ()), *look.items.get(t, ())))) for t in tasks}
        return EvalReport(both, self.looks + look.looks, self.texts + look.texts)


@dataclass(frozen=True)
class Pairing:
    """What forbids a comparison: doc_ids of rows that differ, and of equal rows asked differently."""

    unmatched: tuple[int, ...]
    drifted: tuple[int, ...]


def pair(baseline: Sequence[Item], candidate: Sequence[Item]) -> Pairing:
    """The doc_ids of rows that only one side has or that differ, and of equal rows with unequal prompts."""
    before, after = _by_id(baseline), _by_id(candidate)
    shared = before.keys() & after.keys()
    other_row = {doc for doc in shared if before[doc].doc_hash != after[doc].doc_hash}
    drifted = {doc for doc in shared - other_row if before[doc].prompt_hash != after[doc].prompt_hash}
    unmatched = (before.keys() ^ after.keys()) | other_row
    return Pairing(tuple(sorted(unmatched)), tuple(sorted(drifted)))


def _by_id(items: Iterable[Item]) -> dict[int, Item]:
    return {item.doc_id: item for item in items}


def _item(sample: Mapping[str, Any]) -> Item:
    value, said = sample["value"], sample.get("said")
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ValueError(f"the value of an item is {shown(value)}, which is neither a number nor null")
    if not isinstance(said, str | None):
        raise ValueError(f"what was said to an item is {shown(said)}, and no text")
    score = math.nan if value is None else float(value)
    return Item(
        _count(sample, "doc_id"), _text(sample, "doc_hash"), _text(sample, "prompt_hash"), score, said
    )


def _count(value: Mapping[str, Any], name: str) -> int:
    found = value[name]
    if type(found) is not int or found < 0:
        raise ValueError(f"{name} is {shown(found)}, and no whole number from 0 on")
    return found


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value[name]
    if not isinstance(found, str) or not found:
        raise ValueError(f"{name} is {shown(found)}, and no text")
    return found


def _sample(task: str, item: Item) -> dict[str, Any]:
    return {
        "task": task,
        "doc_id": item.doc_id,
        "doc_hash": item.doc_hash,
        "prompt_hash": item.prompt_hash,
        "value": item.value if math.isfinite(item.value) else None,
        **({} if item.said is None else {"said": item.said}),
    }
