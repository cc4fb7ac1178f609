"""What a candidate is compared with, measured: its unquantized source, and what is live or was before.

And what it is shown beside, without being judged by it: APIs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval_suites.beside import Beside
from eval_suites.comparison import BEFORE, PRODUCTION, PRODUCTION_ON_NEW_RUNTIME, SOURCE
from eval_suites.report import EvalReport
from flows.candidate import Candidate, Inputs
from flows.translate import apis_of
from registry.manifests import load_manifest
from registry.version import ModelVersion
from tasks.ask_api import ask_api
from tasks.evaluate import Measured, evaluate, report_of
from tasks.serving import Served
from tasks.workplace import Workplace


def is_quantized(candidate: Candidate) -> bool:
    """Whether there is a source to compare it with."""
    return candidate.weights.manifest != candidate.inputs.source.manifest


def measure_source(place: Workplace, candidate: Candidate, texts: Sequence[str] | None) -> Measured | None:
    """The unquantized source on the same server, asked the texts twice; None where that is the candidate."""
    inputs = candidate.inputs
    if not is_quantized(candidate):
        return None
    served = Served(SOURCE, inputs.source.manifest, inputs.serve, inputs.installed)
    return evaluate(place, served, inputs.suite, inputs.gates.evaluate.seed, texts, twice=True)


def served_live(place: Workplace, inputs: Inputs, live: ModelVersion) -> Served:
    """What is live, served as it is on the runtime that there is."""
    return Served(PRODUCTION, load_manifest(place.store, live.weights_manifest), live.serve, inputs.installed)


@dataclass(frozen=True)
class Live:
    """What is live, or was judged before, by the name it goes by in the report."""

    name: str
    report: EvalReport


def measure_live(place: Workplace, inputs: Inputs) -> Live | None:
    """What production scored, as it is served now: what a new runtime loses must not be measured away."""
    live = inputs.production
    if live is None:
        return _as_before(place, inputs)
    as_live = _kept(place, inputs, live)
    return Live(PRODUCTION, as_live) if as_live else _measured_live(place, inputs, live)


def _as_before(place: Workplace, inputs: Inputs) -> Live | None:
    """What the same weights scored on the runtime they were judged on before, where nothing is live."""
    before = inputs.before
    if before is None or _same_runtime(inputs, before):
        return None
    report = _kept(place, inputs, before)
    return Live(BEFORE, report) if report else None


def _kept(place: Workplace, inputs: Inputs, version: ModelVersion) -> EvalReport | None:
    return report_of(place, version.release_digest, inputs.suite, inputs.gates.evaluate.seed)


def _measured_live(place: Workplace, inputs: Inputs, live: ModelVersion) -> Live:
    """What production scores on the whole suite, on the runtime that there is."""
    served = served_live(place, inputs, live)
    measured = evaluate(place, served, inputs.suite, inputs.gates.evaluate.seed)
    name = PRODUCTION if _same_runtime(inputs, live) else PRODUCTION_ON_NEW_RUNTIME
    return Live(name, measured.report)


def ask_live_more(place: Workplace, inputs: Inputs, live: Live, scored: EvalReport) -> Live | None:
    """Production asked the whole suite, when it was let through after fewer looks than this candidate takes.

    None where that is not so, or where it is served by a runtime that is not here.
    """
    version = inputs.production
    if version is None or live.report.looks >= scored.looks or not _same_runtime(inputs, version):
        return None
    return _measured_live(place, inputs, version)


def _same_runtime(inputs: Inputs, version: ModelVersion) -> bool:
    return version.runtime == inputs.installed.runtime.digest


def ask_apis(place: Workplace, inputs: Inputs, scored: EvalReport) -> tuple[Beside, ...]:
    """What each API of the spec scored in what the candidate was asked, or why it did not."""
    evaluate = inputs.gates.evaluate
    return tuple(ask_api(place, api, inputs.suite, evaluate.seed, scored) for api in apis_of(evaluate))
