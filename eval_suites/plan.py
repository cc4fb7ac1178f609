"""In which order a suite's items are asked, and when the judge looks; fixed before the first answer.

The order is random to the model and the same for every model: by the digest of the seed and the item, items
of one cluster together. ``max_samples`` of a task takes the first of that order, in whole clusters. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from eval_suites.suite import EvalTask, Suite
from eval_suites.suite_spec import ReviewedTask
from registry.digest import Digest

MOST_LOOKS = 30  # more end clear cases hardly earlier, and each costs the evaluator a second
FEWEST_ITEMS = 100  # between two looks, of the largest task and of those that people judge


@dataclass(frozen=True)
class Plan:
    """For each look, the items to ask before it: task name -> doc_ids; some may have none for a task."""

    looks: tuple[dict[str, tuple[int, ...]], ...]

    @property
    def digest(self) -> Digest:
        """Changes with any item, its place, or a look."""
        return Digest.of_json(self.looks)

    def asked(self, task: str, looks: int) -> tuple[int, ...]:
        """The doc_ids of a task before so many looks, in the order they are asked."""
        return tuple(doc_id for look in self.looks[:looks] for doc_id in look[task])

    def counts(self, task: str) -> tuple[int, ...]:
        """How many items of a task have been asked at each look that brings some of them, rising."""
        return tuple(accumulate(len(look[task]) for look in self.looks if look[task]))

    def fractions(self, task: str) -> tuple[float, ...]:
        """The same as shares of all that it is asked: what ``judging.looks.boundaries`` spends alpha by."""
        counts = self.counts(task)
        return tuple(count / counts[-1] for count in counts)

    def items(self, task: str) -> int:
        """How many items of a task are asked at most."""
        return sum(len(look[task]) for look in self.looks)


def plan_of(suite: Suite, seed: int) -> Plan:
    """The plan of a suite: up to ``MOST_LOOKS`` looks, evenly spread over the items of each task."""
    chosen = {task.name: _chosen(task, seed) for task in suite.tasks}
    largest = max(sum(map(len, clusters)) for clusters in chosen.values())
    count = min(max(largest // FEWEST_ITEMS, 1), MOST_LOOKS)
    found = {task.name: _asked(task, chosen[task.name], count) for task in suite.tasks}
    return Plan(tuple({name: looks[n] for name, looks in found.items()} for n in range(count)))


def _asked(task: EvalTask, clusters: Sequence[list[int]], looks: int) -> list[tuple[int, ...]]:
    """The doc_ids of each look. People judge whole looks: theirs are the first ones, and none is small."""
    if not isinstance(task.spec, ReviewedTask):
        return _spread(clusters, looks)
    few = min(max(sum(map(len, clusters)) // FEWEST_ITEMS, 1), looks)
    return [*_spread(clusters, few), *[()] * (looks - few)]


def _spread(clusters: Sequence[list[int]], looks: int) -> list[tuple[int, ...]]:
    """The doc_ids of each look: whole clusters, each where its first item falls."""
    spread: list[list[int]] = [[] for _ in range(looks)]
    asked, items = 0, sum(map(len, clusters))
    for members in clusters:
        spread[asked * looks // items] += members
        asked += len(members)
    return [tuple(look) for look in spread]


def _chosen(task: EvalTask, seed: int) -> list[list[int]]:
    """The clusters that are asked: all, or those that come before ``max_samples`` is exceeded."""
    clusters = _shuffled(task, seed)
    most = task.spec.max_samples or task.items
    return [members for members, n in zip(clusters, accumulate(map(len, clusters)), strict=True) if n <= most]


def _shuffled(task: EvalTask, seed: int) -> Sequence[list[int]]:
    clusters: dict[str, list[int]] = {}
    for doc_id in range(task.items):
        clusters.setdefault(task.cluster_of(doc_id), []).append(doc_id)
    return [clusters[name] for name in sorted(clusters, key=lambda name: _rank(seed, task.name, name))]


def _rank(seed: int, task: str, cluster: str) -> bytes:
    return hashlib.sha256(f"{seed}/{task}/{cluster}".encode()).digest()
