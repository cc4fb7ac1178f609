"""Evaluate: serve an artefact as it would be served, and ask it one thing after another, the cheapest first.

Greedy prompts take seconds, token probabilities of some texts minutes, a suite hours. Each is asked only if
what came before is worth it, and the suite until its judge has enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from eval_suites.answers import Answer
from eval_suites.load_report import LoadReport
from eval_suites.report import EvalReport
from eval_suites.suite import Suite
from eval_suites.token_logprobs import TextLogprobs
from registry.digest import Digest
from tasks.respondent import Respondent, suite_inputs
from tasks.serving import Endpoint, Served
from tasks.workplace import Workplace

_REPORT = "report"
_REPORT_FORM = 2  # with looks

Probed = tuple[TextLogprobs, ...]
"""What a model said of the probe texts, in their order."""


@dataclass(frozen=True)
class Measured:
    """What an artefact answered, said of the probe texts each time it was asked, and scored.

    What comes later is empty where the earlier ended it, or where nobody wanted it.
    """

    answers: tuple[Answer, ...]
    probes: tuple[Probed, ...] = ()
    report: EvalReport = field(default_factory=lambda: EvalReport({}))
    load: LoadReport | None = None


@dataclass(frozen=True, kw_only=True)
class Judges:
    """Whether to go on: with the texts after the answers, with the suite after the texts, and with the suite.

    Other judges than the gates take any answers and texts. A baseline is asked the whole suite. ``load``
    comes last, and asks the server that is up what it bears, where anybody wants to know.
    """

    speaks: Callable[[tuple[Answer, ...]], bool] = bool
    is_faithful: Callable[[tuple[Probed, ...]], bool] = lambda _probes: True
    enough: Callable[[EvalReport], bool] = lambda _report: False
    load: Callable[[EvalReport, Callable[[], Endpoint]], LoadReport | None] = lambda _report, _endpoint: None


ANY = Judges()
"""Everything is asked."""


@task(cache_policy=NO_CACHE)
def evaluate(
    place: Workplace,
    served: Served,
    suite: Suite,
    seed: int,
    texts: Sequence[str] | None = None,
    *,
    twice: bool = False,
    judges: Judges = ANY,
) -> Measured:
    """What the artefact answers, says of the texts if there are any to compare, and scores.

    Raises InfrastructureError unless everything that was asked was answered.
    """
    with place.stage("evaluate", f"{served.who}: suite {suite.name}"), ExitStack() as servers:
        model = Respondent(place, served, servers)
        answers = model.answers()
        if not judges.speaks(answers):
            return Measured(answers)
        orders = [] if texts is None else [False, True] if twice else [False]
        probes = tuple(model.probe(texts or (), backwards=order) for order in orders)
        if not judges.is_faithful(probes):
            return Measured(answers, probes)
        scored = model.scores(suite, seed, judges.enough)
        return Measured(answers, probes, scored, judges.load(scored, lambda: model.endpoint))


def keep_report(place: Workplace, release: Digest, suite: Suite, seed: int, report: EvalReport) -> None:
    """Remember what a release scored, for when it is live and candidates are compared with it."""
    place.keep(_REPORT, _of_release(release, suite, seed), report.to_json())


def report_of(place: Workplace, release: Digest, suite: Suite, seed: int) -> EvalReport | None:
    """What a release scored as a candidate, on the runtime it is served by since.

    None unless it is kept, and the same evaluator would ask the same requests by the same plan today.
    """
    kept = place.known(_REPORT, _of_release(release, suite, seed))
    return EvalReport.from_json(kept) if kept else None


def _of_release(release: Digest, suite: Suite, seed: int) -> dict[str, Any]:
    return {"release": release, "form": _REPORT_FORM, **suite_inputs(suite, seed)}
