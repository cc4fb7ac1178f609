"""Evaluate: serve an artefact as it would be served, and ask it the suite until its judge has enough.

The same server is asked the sanity gate's greedy prompts, first: seconds, before the suite takes hours. What
was asked is kept look by look, per artefact and suite: another judge, or the next try after a crash, asks
only what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from eval_suites.answers import Answer, prompts_digest
from eval_suites.plan import plan_of
from eval_suites.report import EvalReport
from eval_suites.suite import Suite
from registry.digest import Digest
from registry.predicates import QUALITY
from tasks.ask_suite import ENGINE, REQUESTS, ask_suite
from tasks.engine_run import engine_digest
from tasks.greedy_prompts import ask_prompts
from tasks.progress import report
from tasks.runtime import RUNTIME_ENGINE
from tasks.serving import Endpoint, Served, serving
from tasks.workplace import Workplace

_REPORT = "report"
_REPORT_FORM = 2  # with looks


@dataclass(frozen=True)
class Measured:
    """What an artefact answered, and what it scored: nothing where its answers ended it before the suite."""

    answers: tuple[Answer, ...]
    report: EvalReport


Speaks = Callable[[tuple[Answer, ...]], bool]
"""Whether answers to the sanity gate's prompts are worth a suite. Other judges than the gate take any."""

Enough = Callable[[EvalReport], bool]
"""Whether what was scored so far decides. A baseline is asked the whole suite."""


@task(cache_policy=NO_CACHE)
def evaluate(
    place: Workplace,
    served: Served,
    suite: Suite,
    seed: int,
    speaks: Speaks = bool,
    enough: Enough = lambda _report: False,
) -> Measured:
    """What the artefact answers and, if so it ``speaks``, what the items scored that it took to decide.

    Raises InfrastructureError unless every item that was asked did.
    """
    with place.stage("evaluate", f"{served.who}: suite {suite.name}"):
        inputs, plan = _inputs(served, suite, seed), plan_of(suite, seed)
        known = _known(place, inputs)
        if known and (known.report.looks == len(plan.looks) or enough(known.report)):
            return known
        with serving(place, served) as endpoint:
            measured = known or Measured(_answers(served, endpoint), EvalReport({}))
            if not speaks(measured.answers):
                return measured

            def looked(so_far: EvalReport) -> bool:
                _keep(place, inputs, Measured(measured.answers, so_far))
                return enough(so_far)

            scored = ask_suite(place, served, endpoint, suite, seed, measured.report, looked)
        return Measured(measured.answers, scored)


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
        "requests": REQUESTS,
    }


def _known(place: Workplace, inputs: Mapping[str, Any]) -> Measured | None:
    """What was measured before with these inputs, unless the policy wants it measured again."""
    kept = place.known("evaluate", inputs)
    if kept is None or _is_old(kept, place.policy.max_age(QUALITY)):
        return None
    return Measured(tuple(map(Answer.from_json, kept["answers"])), EvalReport.from_json(kept["report"]))


def _keep(place: Workplace, inputs: Mapping[str, Any], measured: Measured) -> None:
    answers = [answer.to_json() for answer in measured.answers]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    place.keep("evaluate", inputs, {"report": measured.report.to_json(), "answers": answers, "at": at})


def _answers(served: Served, endpoint: Endpoint) -> tuple[Answer, ...]:
    report("evaluate", f"{served.who}: greedy prompts")
    return ask_prompts(endpoint, served.serve.max_model_len)


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
    return {"release": release, "suite": suite.digest, "seed": seed, "form": _REPORT_FORM}
