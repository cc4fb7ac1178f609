"""What one model scored, item by item, and how the items of two models pair up.

Read from the evaluation engine's result and kept as evidence. Scores are carried as they came,
missing and non-finite ones included; what they mean is left to ``gate``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.data_errors import worded
from registry.digest import Digest
from registry.errors import InfrastructureError


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
    def from_engine(cls, result: Mapping[str, Any]) -> EvalReport:
        """Read ``samples`` and ``looks``; raises InfrastructureError if the result has another form."""
        try:
            return cls.from_json(result)
        except (KeyError, TypeError, ValueError) as error:
            raise InfrastructureError(
                "the evaluation engine's result cannot be read",
                why=worded(error),
                next_step="see the engine's log in the run folder",
            ) from error

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EvalReport:
        """Read what ``to_json`` wrote; raises KeyError, TypeError or ValueError on anything else."""
        items: dict[str, dict[int, Item]] = {}
        for sample in value["samples"]:
            item = _item(sample)
            if items.setdefault(str(sample["task"]), {}).setdefault(item.doc_id, item) is not item:
                raise ValueError(f"task {sample['task']} scored item {item.doc_id} twice")
        by_task = {task: tuple(sorted(found.values())) for task, found in items.items()}
        return cls(by_task, int(value["looks"]), tuple(map(Digest.parse, value.get("texts", ()))))

    def to_json(self) -> dict[str, Any]:
        """A mapping in the engine's own form; a score that is no finite number is null."""
        samples = [_sample(task, item) for task, items in sorted(self.items.items()) for item in items]
        return {"samples": samples, "looks": self.looks, "texts": list(map(str, self.texts))}

    def of(self, task: str, doc_ids: Iterable[int]) -> tuple[Item, ...]:
        """The items of a task in this order, without those that were not scored."""
        scored = _by_id(self.items.get(task, ()))
        return tuple(scored[doc_id] for doc_id in doc_ids if doc_id in scored)

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
    value = sample["value"]
    score = math.nan if value is None else float(value)
    said = sample.get("said")
    return Item(int(sample["doc_id"]), str(sample["doc_hash"]), str(sample["prompt_hash"]), score, said)


def _sample(task: str, item: Item) -> dict[str, Any]:
    return {
        "task": task,
        "doc_id": item.doc_id,
        "doc_hash": item.doc_hash,
        "prompt_hash": item.prompt_hash,
        "value": item.value if math.isfinite(item.value) else None,
        **({} if item.said is None else {"said": item.said}),
    }
