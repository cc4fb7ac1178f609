"""The gates a candidate passes: its files, its answers, its quality. The first no ends it."""

from __future__ import annotations

from dataclasses import dataclass

from eval_suites.gate import judge
from eval_suites.report import EvalReport
from flows.candidate import Candidate
from judging.verdict import Verdict
from registry.manifests import load_manifest
from tasks.check_artefact import check_answers, check_artefact
from tasks.evaluate import evaluate, keep_report, report_of
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
    quality = judge_quality(place, candidate)
    sanity = judge_sanity(place, candidate, files)
    record_quality(place, candidate.inputs.suite, candidate.release, quality)
    return Verdicts(sanity, quality)


def check_files(place: Workplace, candidate: Candidate) -> Verdict:
    """The sanity gate on files; raises what it comes to unless it passes, before any server starts."""
    source, weights = candidate.inputs.source.manifest, candidate.weights
    files = check_artefact(place, source, weights.manifest, weights.recipe)
    if not files.passed:
        record_sanity(place, source, weights.manifest, files)
    return files


def judge_sanity(place: Workplace, candidate: Candidate, files: Verdict) -> Verdict:
    """The sanity gate on files and answers, recorded; raises what it comes to unless it passes."""
    inputs, manifest = candidate.inputs, candidate.weights.manifest
    source, ships = inputs.source.manifest, Served("candidate", manifest, inputs.serve, inputs.installed)
    control = None if manifest == source else Served("source", source, inputs.serve, inputs.installed)
    sanity = check_answers(place, files, ships, control, inputs.suite, inputs.spec.evaluate.seed)
    record_sanity(place, source, manifest, sanity, ships)
    return sanity


def judge_quality(place: Workplace, candidate: Candidate) -> Verdict:
    """The candidate against the unquantized source, and against what is live."""
    inputs, suite = candidate.inputs, candidate.inputs.suite
    seed, installed = inputs.spec.evaluate.seed, inputs.installed
    reports: dict[str, EvalReport] = {}
    if candidate.weights.manifest != inputs.source.manifest:
        source = Served("source", inputs.source.manifest, inputs.serve, installed)
        reports["source"] = evaluate(place, source, suite, seed)
    if live := inputs.production:
        # As it is served now: after an upgrade, what the new runtime loses must not be measured away.
        if as_live := report_of(place, live.release_digest, suite, seed):
            reports["production"] = as_live
        else:
            weights = load_manifest(place.store, live.weights_manifest)
            same = live.runtime == installed.runtime.digest
            served = Served("production", weights, live.serve, installed)
            name = "production" if same else "production-on-new-runtime"
            reports[name] = evaluate(place, served, suite, seed)
    ships = Served("candidate", candidate.weights.manifest, inputs.serve, installed)
    measured = evaluate(place, ships, suite, seed)
    keep_report(place, candidate.release, suite, seed, measured)
    return judge(suite, measured, reports)
