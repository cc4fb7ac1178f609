"""What a candidate is compared with, measured: its unquantized source, and what is live or was before.

And what it is shown beside, without being judged by it: APIs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from eval_suites.beside import Beside
from eval_suites.comparison import BEFORE, PRODUCTION, PRODUCTION_ON_NEW_RUNTIME, REVIEW, SOURCE
from eval_suites.plan import Plan
from eval_suites.report import EvalReport
from flows.candidate import Candidate, Inputs
from flows.translate import apis_of
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.version import ModelVersion
from tasks.ask_api import ask_api
from tasks.evaluate import Measured, evaluate, report_of
from tasks.keep_weights import weights_of
from tasks.runtime import Installed, runtime_left
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


def is_own(candidate: Candidate, version: ModelVersion) -> bool:
    """Whether a version is the candidate's own weights, served the same way."""
    own = (candidate.weights.manifest.set_digest, candidate.inputs.serve)
    return (version.weights_set, version.serve) == own


@dataclass(frozen=True)
class Live:
    """What is live, or was judged before, by the name it goes by in the report, and what it scored.

    ``anew`` is by which name and on which runtime it can be asked more; None where it cannot.
    """

    version: ModelVersion
    name: str
    report: EvalReport
    anew: tuple[str, Installed] | None

    def told(self, verdict: Verdict, plan: Plan, scored: EvalReport) -> Verdict:
        """The verdict; what stays open for good, because no more can be asked of this one, says so."""
        asked = self.report.looks
        if self.anew or asked == len(plan.looks) or scored.looks < asked:
            return verdict
        waiting = {f.name.removeprefix(f"{REVIEW}/") for f in verdict.findings}
        return Verdict.of(self._told(f) if self._holds_up(f, waiting) else f for f in verdict.findings)

    def _holds_up(self, finding: Finding, waiting: Collection[str]) -> bool:
        """Whether more items of it are all that is missing; those that are ``waiting`` want people."""
        name, _, task = finding.name.partition("/")
        is_open = finding.outcome is Outcome.INCONCLUSIVE and not finding.failure_class
        return is_open and name == self.name and task not in waiting

    def _told(self, finding: Finding) -> Finding:
        why = f"{self.name} was asked no more, and its runtime is gone from this machine"
        said = f"{finding.message}; but {why}: another `evaluate.seed` leaves it out"
        return replace(finding, message=said, failure_class=FailureClass.CONFIG)


def measure_live(place: Workplace, candidate: Candidate) -> Live | None:
    """What production scored, as it is served now: what a new runtime loses must not be measured away.

    Where nothing is live, what the version that is judged again scored on another runtime. Asked now unless
    that is kept. None where there is neither, or it could only be asked as what the candidate is itself.
    """
    inputs, before = candidate.inputs, candidate.inputs.before
    name, version = (PRODUCTION, inputs.production) if inputs.production else (BEFORE, before)
    if version is None or (version is before and _same_runtime(inputs, version)):
        return None
    kept = report_of(place, version.release_digest, inputs.suite, inputs.gates.evaluate.seed)
    live = Live(version, name, kept or EvalReport({}), _anew(place, candidate, name, version))
    return live if kept else ask_live(place, inputs, live)


def ask_live(place: Workplace, inputs: Inputs, live: Live) -> Live | None:
    """The same, asked the whole suite; None where it cannot be asked."""
    if live.anew is None:
        return None
    name, installed = live.anew
    served = Served(name, weights_of(place, live.version), live.version.serve, installed)
    measured = evaluate(place, served, inputs.suite, inputs.gates.evaluate.seed)
    return replace(live, name=name, report=measured.report)


def _anew(
    place: Workplace, candidate: Candidate, name: str, version: ModelVersion
) -> tuple[str, Installed] | None:
    """On its own runtime as long as that is on this machine, else on the one that is here.

    None where that would be the candidate itself, beside which nothing can be lost.
    """
    inputs = candidate.inputs
    if _same_runtime(inputs, version):
        return name, inputs.installed
    if left := runtime_left(place, version.runtime):
        return name, left
    return None if is_own(candidate, version) else (PRODUCTION_ON_NEW_RUNTIME, inputs.installed)


def _same_runtime(inputs: Inputs, version: ModelVersion) -> bool:
    return version.runtime == inputs.installed.runtime.digest


def ask_apis(place: Workplace, inputs: Inputs, scored: EvalReport) -> tuple[Beside, ...]:
    """What each API of the spec scored in what the candidate was asked, or why it did not."""
    evaluate = inputs.gates.evaluate
    return tuple(ask_api(place, api, inputs.suite, evaluate.seed, scored) for api in apis_of(evaluate))
