"""Loads a suite file with its datasets into one checked value that knows its digest.

A suite is found by name among the shipped ones or by path. Nothing here asks a model: rendering for
lm-eval is ``lm_eval_task``, judging is ``gate``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from eval_suites.dataset import check_rows, read_rows
from eval_suites.suite_spec import Profile, SuiteSpec, TaskSpec
from registry.digest import Digest
from registry.errors import UsageError
from registry.validation import did_you_mean, explain, read_yaml

SHIPPED = Path(__file__).resolve().parent


@dataclass(frozen=True)
class EvalTask:
    """A task with its dataset: absolute path, content digest, number of items, and the cluster of each.

    Without ``clusters`` every item stands alone.
    """

    spec: TaskSpec
    dataset: Path
    dataset_digest: Digest
    items: int
    clusters: tuple[str, ...] = ()

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


def load_suite(path: Path) -> Suite:
    """Read and check a suite file and its datasets; raises UsageError with the path of each wrong key."""
    written = read_yaml(path)
    try:
        spec = SuiteSpec.model_validate(written)
    except ValidationError as error:
        raise explain(error, SuiteSpec, str(path)) from None
    return Suite(spec, tuple(_load_task(task, path) for task in spec.tasks))


def find_suite(name_or_path: str, relative_to: Path | None = None) -> Suite:
    """The shipped suite of this name, else the suite file at this path (against ``relative_to``)."""
    if _is_path(name_or_path):
        return load_suite((relative_to or Path()) / name_or_path)
    if name_or_path in shipped_suites():
        return load_suite(SHIPPED / f"{name_or_path}.yaml")
    raise UsageError(
        f"no suite is called {name_or_path!r}",
        why=did_you_mean(name_or_path, shipped_suites()),
        next_step="name a shipped suite or give the path of a suite file ending in .yaml",
    )


def shipped_suites() -> list[str]:
    """The names of the suites that come with Headgate, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def _load_task(spec: TaskSpec, suite_path: Path) -> EvalTask:
    dataset = (suite_path.parent / spec.dataset).resolve()
    rows = read_rows(dataset)
    check_rows(spec, rows, str(dataset))
    clusters = tuple(str(row[spec.cluster]) for row in rows) if spec.cluster else ()
    return EvalTask(spec, dataset, Digest.of_file(dataset), len(rows), clusters)
