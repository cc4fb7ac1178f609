"""Loads a suite file with its datasets into one checked value that knows its digest.

A suite is found by name among the shipped ones or by path. Nothing here asks a model: rendering for
lm-eval is ``lm_eval_task``, judging is ``gate``; what a task of lm-eval's own holds, only lm-eval can tell:
``tasks.named_tasks`` asks it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from eval_suites.cost import ItemCost
from eval_suites.dataset import check_rows, read_dataset, read_rows, render
from eval_suites.suite_spec import LocalTask, NamedTask, Profile, ReviewedTask, SuiteSpec
from registry.digest import Digest
from registry.errors import UsageError
from registry.validation import did_you_mean, explain, read_yaml

SHIPPED = Path(__file__).resolve().parent


@dataclass(frozen=True)
class EvalTask:
    """A task with its dataset: its path, content digest, number of items, and the cluster of each.

    ``rows`` (JSONL) are the dataset as it was read, once: what has the digest is what is asked, whatever
    becomes of the file. Without ``clusters`` every item stands alone. The dataset of one of lm-eval's tasks
    is a folder, and ``texts`` are some of its prompts with their right answers, ``cost`` what an item of it
    takes. Of a task that people judge ``texts`` are all its prompts, by doc_id.
    """

    spec: LocalTask | ReviewedTask | NamedTask
    dataset: Path
    dataset_digest: Digest
    items: int
    clusters: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    cost: ItemCost | None = None
    rows: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """The task's name, unique in its suite."""
        return self.spec.name

    def cluster_of(self, doc_id: int) -> str:
        """What an item shares with others that may fail with it; its own number where it stands alone."""
        return self.clusters[doc_id] if self.clusters else str(doc_id)


@dataclass(frozen=True)
class Suite:
    """A loaded suite: what was written, and its tasks in that order."""

    spec: SuiteSpec
    tasks: tuple[EvalTask, ...]

    @property
    def name(self) -> str:
        """The suite's name."""
        return self.spec.name

    @property
    def alpha(self) -> float:
        """The one-sided error rate of each judgement."""
        return self.spec.alpha

    @cached_property
    def digest(self) -> Digest:
        """Covers all that can change a score or a verdict: not words, nor plans, nor where files lie."""
        written = self.spec.model_dump(
            mode="json",
            exclude={"description": True, "power": True, "tasks": {"__all__": {"dataset", "strict_margin"}}},
        )
        return Digest.of_json(
            {"suite": written, "datasets": [str(task.dataset_digest) for task in self.tasks]}
        )

    def under(self, profile: Profile) -> Suite:
        """The suite that is asked and judged under a profile; ``standard`` takes it as it is written."""
        if profile is Profile.STANDARD:
            return self
        spec = self.spec.strict
        tasks = zip(self.tasks, spec.tasks, strict=True)
        return Suite(spec, tuple(replace(task, spec=judged) for task, judged in tasks))


Reader = Callable[[NamedTask], EvalTask]
"""What a task of lm-eval's comes to."""


def _unread(task: NamedTask) -> EvalTask:
    raise UsageError(
        f"the task {task.name!r} is lm-eval's, and its dataset is not here",
        why="only a command that may fetch it and ask lm-eval can tell what it holds",
        next_step="`headgate suites check` fetches it and says what it holds",
    )


def load_suite(path: Path, read: Reader = _unread) -> Suite:
    """Read and check a suite file and its datasets; raises UsageError with the path of each wrong key.

    Without ``read`` a suite with tasks of lm-eval's is refused.
    """
    spec = read_suite(path)
    tasks = tuple(
        read(task) if isinstance(task, NamedTask) else _load_task(task, path.parent) for task in spec.tasks
    )
    for task in tasks:
        _check_clusters(task, path)
    return Suite(spec, tasks)


def read_suite(path: Path) -> SuiteSpec:
    """What is written in a suite file, its datasets unread; raises UsageError as ``load_suite``."""
    written = read_yaml(path)
    try:
        return SuiteSpec.model_validate(written)
    except ValidationError as error:
        raise explain(error, SuiteSpec, str(path)) from None


def find_suite(name_or_path: str) -> Suite:
    """The shipped suite of this name, else the suite file at this path, loaded; raises UsageError."""
    return load_suite(suite_path(name_or_path))


def suite_path(name_or_path: str) -> Path:
    """The file of the shipped suite of this name, else this path."""
    if _is_path(name_or_path):
        return Path(name_or_path)
    if name_or_path in shipped_suites():
        return SHIPPED / f"{name_or_path}.yaml"
    raise UsageError(
        f"no suite is called {name_or_path!r}",
        why=did_you_mean(name_or_path, shipped_suites()),
        next_step="name a shipped suite or give the path of a suite file ending in .yaml",
    )


def shipped_suites() -> list[str]:
    """The names of the suites that come with Headgate, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def _check_clusters(task: EvalTask, path: Path) -> None:
    most, sizes = task.spec.max_samples, Counter(task.clusters)
    if len(sizes) == 1:
        raise UsageError(
            f"{path}: all items of the task {task.name!r} are of one cluster",
            why="items of a cluster may fail together, and how often they do takes more than one to tell",
            next_step="name a field as its `cluster` that differs from item to item, or leave it out",
        )
    largest = max(sizes.values(), default=1)
    if most is not None and most < largest:
        raise UsageError(
            f"{path}: the task {task.name!r} has no room for its largest cluster, {largest} items",
            why=f"it asks {most} at most, and half a cluster is never asked",
            next_step=f"raise its max_samples to {largest} or more",
        )


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def _load_task(spec: LocalTask | ReviewedTask, folder: Path) -> EvalTask:
    dataset = folder / spec.dataset
    data = read_dataset(dataset)
    rows = read_rows(data, str(dataset))
    check_rows(spec, rows, str(dataset))
    clusters = tuple(str(row[spec.cluster]) for row in rows) if spec.cluster else ()
    prompts = tuple(render(spec, row) for row in rows) if isinstance(spec, ReviewedTask) else ()
    return EvalTask(spec, dataset, Digest.of_bytes(data), len(rows), clusters, prompts, rows=data)
