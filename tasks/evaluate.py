"""Evaluate: serve an artefact as it would be served, and ask it the suite; once per artefact and suite.

The same server is asked the sanity gate's greedy prompts, first: seconds, before the suite takes hours.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from eval_suites.answers import Answer, prompts_digest
from eval_suites.gate import is_complete
from eval_suites.lm_eval_task import render_tasks
from eval_suites.report import EvalReport
from eval_suites.suite import Suite
from registry.digest import Digest
from registry.errors import InfrastructureError
from registry.predicates import QUALITY
from tasks.engine_run import engine_digest, run_engine
from tasks.greedy_prompts import ask_prompts
from tasks.progress import report
from tasks.runtime import RUNTIME_ENGINE
from tasks.serving import Endpoint, Served, serving
from tasks.workplace import Workplace

ENGINE = "evaluate_lm_eval"
_REPORT = "report"
_TIMEOUT = 6 * 3600.0  # seconds
_REQUESTS = {"num_concurrent": 4, "batch_size": 32}  # keeps vLLM's batches full on two cores


@dataclass(frozen=True)
class Measured:
    """What an artefact answered, and what it scored: nothing where its answers ended it before the suite."""

    answers: tuple[Answer, ...]
    report: EvalReport


Speaks = Callable[[tuple[Answer, ...]], bool]
"""Whether answers to the sanity gate's prompts are worth a suite. Other judges than the gate take any."""

_NOT_ASKED = EvalReport({}, {})


@task(cache_policy=NO_CACHE)
def evaluate(place: Workplace, served: Served, suite: Suite, seed: int, speaks: Speaks = bool) -> Measured:
    """What the artefact answers and, if so it ``speaks``, what each item of the suite scored.

    Raises InfrastructureError unless every item did.
    """
    with place.stage("evaluate", f"{served.who}: suite {suite.name}"):
        inputs = _inputs(served, suite, seed)
        result = place.known("evaluate", inputs)
        if result is None or _is_old(result, place.policy.max_age(QUALITY)):
            result = _measure(place, served, suite, seed, speaks)
            if result["report"] != _NOT_ASKED.to_json():  # answers alone take minutes, not hours
                place.keep("evaluate", inputs, result)
        answers = tuple(map(Answer.from_json, result["answers"]))
        return Measured(answers, EvalReport.from_json(result["report"]))


def _inputs(served: Served, suite: Suite, seed: int) -> dict[str, Any]:
    return {
        "weights": served.weights.set_digest,
        "runtime": served.installed.runtime.digest,
        "server": engine_digest(RUNTIME_ENGINE),
        "settings": {name: value for name, value in os.environ.items() if name.startswith("VLLM_")},
        "serve": served.serve.digest,
        "suite": suite.digest,
        "prompts": prompts_digest(),
        "seed": seed,
        "engine": engine_digest(ENGINE),
        "requests": _REQUESTS,
    }


def _is_old(result: Mapping[str, Any], limit: timedelta | None) -> bool:
    """Whether a policy that wants fresh evidence wants it measured again, and not only signed again."""
    if limit is None:
        return False
    at = result.get("at")
    return at is None or datetime.now(UTC) - datetime.fromisoformat(at) > limit


def keep_report(place: Workplace, release: Digest, suite: Suite, seed: int, report: EvalReport) -> None:
    """Remember what a release scored, for when it is live and its runtime is gone."""
    place.keep(_REPORT, _of_release(release, suite, seed), report.to_json())


def report_of(place: Workplace, release: Digest, suite: Suite, seed: int) -> EvalReport | None:
    """What a release scored as a candidate, on the runtime it is served by since; None if unknown."""
    kept = place.known(_REPORT, _of_release(release, suite, seed))
    return EvalReport.from_json(kept) if kept else None


def _of_release(release: Digest, suite: Suite, seed: int) -> dict[str, Any]:
    return {"release": release, "suite": suite.digest, "seed": seed}


def _measure(place: Workplace, served: Served, suite: Suite, seed: int, speaks: Speaks) -> dict[str, Any]:
    with serving(place, served) as endpoint:
        report("evaluate", f"{served.who}: greedy prompts")
        answers = ask_prompts(endpoint, served.serve.max_model_len)
        nothing = {"report": _NOT_ASKED.to_json()}
        result = _ask_suite(place, served, endpoint, suite, seed) if speaks(answers) else nothing
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {**result, "answers": [answer.to_json() for answer in answers], "at": at}


def _ask_suite(
    place: Workplace, served: Served, endpoint: Endpoint, suite: Suite, seed: int
) -> dict[str, Any]:
    report("evaluate", f"{served.who}: suite {suite.name}", 0.0)
    request = {
        "base_url": f"{endpoint.base_url}/v1/completions",
        "model": endpoint.model,
        "tokenizer_dir": str(endpoint.folder),
        "tasks_dir": str(_write_tasks(place.run.directory / "suite", suite)),
        "tasks": [task.name for task in suite.tasks],
        "max_length": served.serve.max_model_len,
        **_REQUESTS,
        "seed": seed,
        "limit": None,
    }
    result = run_engine(ENGINE, request, place.run, timeout=_TIMEOUT, stage="evaluate")
    scored = EvalReport.from_engine(result)
    if not is_complete(suite, scored):
        # Not a result to keep: the next run has to measure again, not read the same gap from the cache.
        raise InfrastructureError(
            f"the evaluation of the {served.who} did not score every item of {suite.name}",
            why="a request failed, or the server gave a score that is no number",
            next_step=f"read the logs in {place.run.directory} and run the same command again",
        )
    return {"report": scored.to_json(), "versions": result["versions"]}


def _write_tasks(folder: Path, suite: Suite) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in render_tasks(suite).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
