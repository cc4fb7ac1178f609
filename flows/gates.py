"""The gates a candidate passes: its files, its answers, its quality. The first no ends it.

Each is asked before the next costs anything: files before a server starts, answers before the suite is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eval_suites.answers import Answer
from eval_suites.gate import judge
from eval_suites.report import EvalReport
from flows.candidate import Candidate, Inputs
from judging.verdict import Verdict
from registry.manifests import load_manifest
from tasks.check_artefact import check_answers, check_artefact
from tasks.evaluate import Measured, evaluate, keep_report, report_of
from tasks.record import record_quality, record_sanity
from tasks.serving import Served
from tasks.workplace import Workplace


@dataclass(frozen=True)
class Verdicts:
    """What the gates said of a candidate."""

    sanity: Verdict
    quality: Verdict


def judge_candidate(place: Workplace, candidate: Candidate) -> Verdicts:
    """Every gate's verdict, recorded. Raises the error of the first that did not pass."""
    files = check_files(place, candidate)
    source = _source(place, candidate)
    sanity, scored = judge_sanity(place, candidate, files, source)
    reports = {"source": source.report} if source else {}
    quality = judge_quality(place, candidate, scored, {**reports, **_production(place, candidate.inputs)})
    return Verdicts(sanity, quality)


def check_files(place: Workplace, candidate: Candidate) -> Verdict:
    """The sanity gate on files; raises what it comes to unless it passes, before any server starts."""
    source = candidate.inputs.source.manifest
    files = check_artefact(place, source, candidate.weights)
    if not files.passed:
        record_sanity(place, candidate.release, source.set_digest, files, asked=False)
    return files


def judge_sanity(
    place: Workplace, candidate: Candidate, files: Verdict, source: Measured | None
) -> tuple[Verdict, EvalReport]:
    """The sanity gate on files and answers, recorded, and what the candidate scored when it had passed.

    Raises what the gate comes to unless it passes; then the suite is not asked.
    """
    inputs, control = candidate.inputs, source.answers if source else None

    def speaks(answers: tuple[Answer, ...]) -> bool:
        return check_answers(files, answers, control).passed

    served = Served("candidate", candidate.weights.manifest, inputs.serve, inputs.installed)
    measured = evaluate(place, served, inputs.suite, inputs.spec.evaluate.seed, speaks)
    sanity = check_answers(files, measured.answers, control)
    record_sanity(place, candidate.release, inputs.source.manifest.set_digest, sanity, asked=True)
    return sanity, measured.report


def judge_quality(
    place: Workplace, candidate: Candidate, scored: EvalReport, reports: Mapping[str, EvalReport]
) -> Verdict:
    """The candidate against what else was measured, recorded; raises unless it passes."""
    inputs = candidate.inputs
    keep_report(place, candidate.release, inputs.suite, inputs.spec.evaluate.seed, scored)
    quality = judge(inputs.suite, scored, reports)
    record_quality(place, inputs.suite, candidate.release, quality)
    return quality


def _source(place: Workplace, candidate: Candidate) -> Measured | None:
    """The unquantized source on the same server; None where that is the candidate."""
    inputs = candidate.inputs
    if candidate.weights.manifest == inputs.source.manifest:
        return None
    served = Served("source", inputs.source.manifest, inputs.serve, inputs.installed)
    return evaluate(place, served, inputs.suite, inputs.spec.evaluate.seed)


def _production(place: Workplace, inputs: Inputs) -> dict[str, EvalReport]:
    """What is live, by the name it goes by in the report."""
    suite, seed, installed, live = (
        inputs.suite,
        inputs.spec.evaluate.seed,
        inputs.installed,
        inputs.production,
    )
    if live is None:
        return {}
    # As it is served now: after an upgrade, what the new runtime loses must not be measured away.
    if as_live := report_of(place, live.release_digest, suite, seed):
        return {"production": as_live}
    weights = load_manifest(place.store, live.weights_manifest)
    same = live.runtime == installed.runtime.digest
    served = Served("production", weights, live.serve, installed)
    name = "production" if same else "production-on-new-runtime"
    return {name: evaluate(place, served, suite, seed).report}
