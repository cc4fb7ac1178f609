"""The gates a candidate passes: its files, its answers, its quality. The first no ends it.

Each is asked before the next costs anything: files before a server starts, answers before the suite is asked,
and of the suite no more than it takes to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from eval_suites.answers import Answer
from eval_suites.flips import flips_behind
from eval_suites.gate import is_decided, judge
from eval_suites.gate_page import GatePage
from eval_suites.plan import Plan, plan_of
from eval_suites.report import EvalReport
from flows.candidate import Candidate, Inputs
from judging.verdict import Verdict
from registry.manifests import load_manifest
from registry.version import ModelVersion
from tasks.check_artefact import check_answers, check_artefact
from tasks.evaluate import Measured, evaluate, keep_report, report_of
from tasks.gate_page import with_texts
from tasks.record import record_quality, record_sanity
from tasks.serving import Served
from tasks.workplace import Workplace


def page_of(candidate: Candidate) -> GatePage:
    """The page of a candidate that no gate has spoken of."""
    inputs, weights = candidate.inputs, candidate.weights.manifest.set_digest
    judged = {
        "release": candidate.release,
        "weights": weights,
        "runtime": inputs.installed.runtime.digest,
        "serve": inputs.serve.digest,
        "suite": inputs.suite.digest,
    }
    plan = _plan(inputs)
    items = {task.name: plan.items(task.name) for task in inputs.suite.tasks}
    return GatePage(name=inputs.spec.registry.name, at=datetime.now(UTC), judged=judged, items=items)


def judge_candidate(place: Workplace, candidate: Candidate) -> GatePage:
    """What every gate said, recorded. Raises the error of the first that did not pass."""
    page = page_of(candidate)
    files = check_files(place, candidate, page)
    source = _source(place, candidate)
    baselines = {"source": source.report} if source else {}
    live = _live(place, candidate.inputs)
    while True:
        reports = {**baselines, **({live.name: live.report} if live else {})}
        so_far, scored = judge_sanity(place, candidate, page, files, source, reports)
        verdict = judge(candidate.inputs.suite, _plan(candidate.inputs), scored, reports)
        more = None if is_decided(verdict) or not live else _asked_more(place, candidate.inputs, live, scored)
        if more is None:
            return judge_quality(place, candidate, so_far, scored, verdict, reports)
        live = more


def check_files(place: Workplace, candidate: Candidate, page: GatePage) -> Verdict:
    """The sanity gate on files; raises what it comes to unless it passes, before any server starts."""
    source = candidate.inputs.source.manifest
    files = check_artefact(place, source, candidate.weights)
    if not files.passed:
        record_sanity(place, page, source.set_digest, files, asked=False)
    return files


def judge_sanity(
    place: Workplace,
    candidate: Candidate,
    page: GatePage,
    files: Verdict,
    source: Measured | None,
    reports: Mapping[str, EvalReport],
) -> tuple[GatePage, EvalReport]:
    """The page after the sanity gate on files and answers, and what the candidate scored when it had passed.

    Raises what the gate comes to unless it passes; then the suite is not asked.
    """
    inputs, control = candidate.inputs, source.answers if source else None

    def speaks(answers: tuple[Answer, ...]) -> bool:
        return check_answers(files, answers, control).passed

    def enough(scored: EvalReport) -> bool:
        return bool(reports) and is_decided(judge(inputs.suite, _plan(inputs), scored, reports))

    served = Served("candidate", candidate.weights.manifest, inputs.serve, inputs.installed)
    measured = evaluate(place, served, inputs.suite, inputs.spec.evaluate.seed, speaks, enough)
    sanity = check_answers(files, measured.answers, control)
    page = record_sanity(place, page, inputs.source.manifest.set_digest, sanity, asked=True)
    return page, measured.report


def judge_quality(
    place: Workplace,
    candidate: Candidate,
    page: GatePage,
    scored: EvalReport,
    verdict: Verdict,
    reports: Mapping[str, EvalReport],
) -> GatePage:
    """The page after the verdict on the candidate beside what else was measured; raises unless it passes."""
    inputs = candidate.inputs
    keep_report(place, candidate.release, inputs.suite, inputs.spec.evaluate.seed, scored)
    flips = flips_behind(inputs.suite, verdict, _plan(inputs), scored, reports)
    page = replace(page, flips=with_texts(place.home, flips, scored, reports))
    return record_quality(place, page, inputs.suite, verdict)


def _plan(inputs: Inputs) -> Plan:
    return plan_of(inputs.suite, inputs.spec.evaluate.seed)


def _source(place: Workplace, candidate: Candidate) -> Measured | None:
    """The unquantized source on the same server; None where that is the candidate."""
    inputs = candidate.inputs
    if candidate.weights.manifest == inputs.source.manifest:
        return None
    served = Served("source", inputs.source.manifest, inputs.serve, inputs.installed)
    return evaluate(place, served, inputs.suite, inputs.spec.evaluate.seed)


@dataclass(frozen=True)
class _Live:
    """What is live, by the name it goes by in the report."""

    name: str
    report: EvalReport


def _live(place: Workplace, inputs: Inputs) -> _Live | None:
    """What production scored, as it is served now: what a new runtime loses must not be measured away."""
    live = inputs.production
    if live is None:
        return None
    as_live = report_of(place, live.release_digest, inputs.suite, inputs.spec.evaluate.seed)
    return _Live("production", as_live) if as_live else _measured_live(place, inputs, live)


def _measured_live(place: Workplace, inputs: Inputs, live: ModelVersion) -> _Live:
    """What production scores on the whole suite, on the runtime that there is."""
    served = Served(
        "production", load_manifest(place.store, live.weights_manifest), live.serve, inputs.installed
    )
    measured = evaluate(place, served, inputs.suite, inputs.spec.evaluate.seed)
    name = "production" if _same_runtime(inputs, live) else "production-on-new-runtime"
    return _Live(name, measured.report)


def _asked_more(place: Workplace, inputs: Inputs, live: _Live, scored: EvalReport) -> _Live | None:
    """Production asked the whole suite, when it was let through after fewer looks than this candidate takes.

    None where that is not so, or where it is served by a runtime that is not here.
    """
    version = inputs.production
    if version is None or live.report.looks >= scored.looks or not _same_runtime(inputs, version):
        return None
    return _measured_live(place, inputs, version)


def _same_runtime(inputs: Inputs, live: ModelVersion) -> bool:
    return live.runtime == inputs.installed.runtime.digest
