"""Suites with tasks of lm-eval's own: their datasets fetched at one commit, then read by lm-eval, offline.

lm-eval gets a folder and no network. What it said is kept, by what was asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval_suites.cost import ItemCost
from eval_suites.suite import EvalTask, Suite, load_suite, read_suite, suite_path
from eval_suites.suite_code import check_code
from eval_suites.suite_spec import NamedTask
from registry.digest import Digest
from tasks.engine_run import engine_digest, run_engine
from tasks.fetch_dataset import Configuration, Dataset, fetch_dataset
from tasks.progress import report
from tasks.workplace import Workplace

ENGINE = "read_lm_eval"
_STAGE = "suite"
_TIMEOUT = 3600.0  # seconds; the largest datasets are read in minutes


def open_suite(
    place: Workplace, name_or_path: str, allow_code: Collection[str] = (), token_secret: str | None = None
) -> Suite:
    """A shipped suite, or the one of this file, with what lm-eval's tasks in it hold.

    Raises UsageError for a suite that is wrong, or runs code and is not in ``allow_code``; Refused or
    InfrastructureError when a dataset cannot be fetched as the hub lists it.
    """
    path = suite_path(name_or_path)
    spec = read_suite(path)
    if not spec.named:
        return load_suite(path)
    with place.stage(_STAGE, f"reading the suite {spec.name}"):
        lm_eval, described = _described(place, spec.named)
        code = {task.name: said["code"] for task, said in zip(spec.named, described, strict=True)}
        check_code(spec, lm_eval, code, allow_code)
        datasets = [
            _fetched(place, task, said, token_secret)
            for task, said in zip(spec.named, described, strict=True)
        ]
        tasks = {task.name: task for task in _held(place, spec.named, datasets, lm_eval)}
        return load_suite(path, lambda task: tasks[task.name])


def named_request(spec: NamedTask, folder: Path) -> dict[str, Any]:
    """What an engine is told of a task whose dataset is in this folder."""
    asked = {"name", "lm_eval", "few_shot", "filter", "metric", "higher_is_better", "cluster"}
    return {**spec.model_dump(include=asked), "folder": str(folder)}


def _described(place: Workplace, tasks: Sequence[NamedTask]) -> tuple[str, list[dict[str, Any]]]:
    """lm-eval's version, and what the file of each task says."""
    requests = [{"lm_eval": task.lm_eval} for task in tasks]
    inputs = {"tasks": requests, "engine": engine_digest(ENGINE)}
    said = place.staged("suite-described", inputs, lambda: _ask(place, requests))
    return said["versions"]["lm_eval"], said["tasks"]


def _fetched(
    place: Workplace, task: NamedTask, described: Mapping[str, Any], token_secret: str | None
) -> Dataset:
    config = None if described["own_files"] else Configuration(described["config"])
    return fetch_dataset(place, described["dataset"], task.dataset_commit, config, token_secret)


def _held(
    place: Workplace, specs: Sequence[NamedTask], datasets: Sequence[Dataset], lm_eval: str
) -> Iterator[EvalTask]:
    files = [str(dataset.manifest.set_digest) for dataset in datasets]
    requests = [
        named_request(spec, place.unpacked(dataset.manifest))
        for spec, dataset in zip(specs, datasets, strict=True)
    ]
    inputs = {
        "tasks": [{**request, "folder": of} for request, of in zip(requests, files, strict=True)],
        "engine": engine_digest(ENGINE),
    }
    found = place.staged("suite-held", inputs, lambda: _ask(place, requests))["tasks"]
    for spec, dataset, request, said in zip(specs, datasets, requests, found, strict=True):
        report(_STAGE, f"{spec.name}: {said['items']} items, licence {dataset.licence or 'not stated'}")
        content = {"docs": said["docs"], "files": str(dataset.manifest.set_digest), "lm_eval": lm_eval}
        yield EvalTask(
            spec,
            Path(request["folder"]),
            Digest.of_json(content),
            said["items"],
            tuple(said["clusters"]),
            tuple(said["texts"]),
            ItemCost(**said["cost"]),
        )


def _ask(place: Workplace, tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return run_engine(ENGINE, {"tasks": tasks}, place.run, timeout=_TIMEOUT, stage=_STAGE)
