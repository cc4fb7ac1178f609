"""The gates a candidate passes: files, answers, token probabilities, quality, load. The first no ends it.

Of a candidate the cheapest comes first: files before any server starts, answers and probabilities before the
suite, and of the suite no more than it takes to decide. What it is compared with is asked before it, all at
its one server start, unless that is kept (ADR 18).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from eval_suites.answers import Answer
from eval_suites.comparison import SOURCE
from eval_suites.fidelity import Limits, judge_fidelity, kl_by_text
from eval_suites.flips import flips_behind
from eval_suites.gate import is_decided, judge
from eval_suites.gate_page import GatePage
from eval_suites.gate_page_curves import Histogram, histogram_of
from eval_suites.load_report import LoadReport
from eval_suites.plan import Plan, plan_of
from eval_suites.probe_texts import probe_texts, texts_digest
from eval_suites.report import EvalReport
from eval_suites.unjudged import sheet_of
from flows.baselines import Live, ask_apis, ask_live, is_quantized, measure_live, measure_source
from flows.candidate import Candidate, Inputs
from flows.load import LoadGate, load_gate
from flows.translate import limits_of
from judging.verdict import Verdict
from tasks.check_artefact import check_answers, check_artefact
from tasks.evaluate import Judges, Measured, Probed, evaluate, keep_report
from tasks.gate_page import drift_behind, with_texts
from tasks.record import record_fidelity, record_quality, record_sanity
from tasks.review_sheet import ask_people
from tasks.serving import Endpoint, Served
from tasks.workplace import Workplace


@dataclass(frozen=True)
class _Fidelity:
    """What the fidelity gate compares a candidate and its source on, and how far apart they may be."""

    texts: tuple[str, ...]
    limits: Limits


@dataclass(frozen=True)
class _Gates:
    """The gates of one candidate: what its files were found to be, and what it is compared with.

    ``source`` is None where nothing was quantized, and ``wanted`` where nothing is to be compared by token.
    """

    candidate: Candidate
    files: Verdict
    wanted: _Fidelity | None
    source: Measured | None
    live: Live | None
    reports: Mapping[str, EvalReport]
    load: LoadGate | None

    def sanity(self, answers: tuple[Answer, ...]) -> Verdict:
        """On files and answers."""
        return check_answers(self.files, answers, self.source.answers if self.source else None)

    def fidelity(self, probes: tuple[Probed, ...]) -> Verdict | None:
        """On token probabilities beside the source's; None where nothing is compared."""
        if self.wanted is None or self.source is None:
            return None
        (baseline, again), (probed,) = self.source.probes, probes
        alpha = self.candidate.inputs.suite.alpha
        return judge_fidelity(baseline, probed, again, self.wanted.limits, alpha)

    def kl(self, probes: tuple[Probed, ...]) -> Histogram | None:
        """How KL is spread over the texts, for people; None where nothing was, or can be, compared."""
        if self.source is None or not probes:
            return None
        return histogram_of(kl_by_text(self.source.probes[0], probes[0]))

    def quality(self, report: EvalReport) -> Verdict:
        """On what was scored so far."""
        inputs = self.candidate.inputs
        plan = _plan(inputs)
        verdict = judge(inputs.suite, plan, _reviewed(inputs, report), self.reports)
        return self.live.told(verdict, plan, report) if self.live else verdict

    def judges(self) -> Judges:
        """Whether what is said so far is worth asking more."""

        def is_faithful(probes: tuple[Probed, ...]) -> bool:
            verdict = self.fidelity(probes)
            return verdict is None or verdict.passed

        return Judges(
            speaks=lambda answers: self.sanity(answers).passed,
            is_faithful=is_faithful,
            enough=lambda report: bool(self.reports) and is_decided(self.quality(report)),
            load=self._bears,
        )

    def _bears(self, report: EvalReport, endpoint: Callable[[], Endpoint]) -> LoadReport | None:
        return self.load.ask(endpoint) if self.load and self.quality(report).passed else None


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
    return GatePage(name=inputs.name, judged=judged, items=items)


def judge_candidate(place: Workplace, candidate: Candidate) -> GatePage:
    """What every gate said, recorded. Raises the error of the first that did not pass."""
    page = page_of(candidate)
    files = check_files(place, candidate, page)
    load = load_gate(place, candidate)
    if load:
        load.check_fits(page)
    wanted = _fidelity(candidate)
    source = measure_source(place, candidate, wanted.texts if wanted else None)
    live = measure_live(place, candidate)
    while True:
        gates = _Gates(candidate, files, wanted, source, live, _reports(candidate, source, live), load)
        measured = _measured(place, gates)
        early = _judge_early(place, page, gates, measured)
        verdict = gates.quality(measured.report)
        more = None
        if live and live.report.looks < measured.report.looks and not is_decided(verdict):
            more = ask_live(place, candidate.inputs, live)
        if more is None:
            judged = judge_quality(place, early, gates, measured.report, verdict)
            return load.judge(judged, measured.load) if load else judged
        live = more


def check_files(place: Workplace, candidate: Candidate, page: GatePage) -> Verdict:
    """The sanity gate on files; raises what it comes to unless it passes, before any server starts."""
    source = candidate.inputs.source.manifest
    files = check_artefact(place, source, candidate.weights)
    if not files.passed:
        record_sanity(place, page, source.set_digest, files, asked=False, quantized=is_quantized(candidate))
    return files


def _judge_early(place: Workplace, page: GatePage, gates: _Gates, measured: Measured) -> GatePage:
    """The page after the verdicts before the suite's; raises what the first comes to unless it passes."""
    source = gates.candidate.inputs.source.manifest.set_digest
    quantized = is_quantized(gates.candidate)
    page = record_sanity(place, page, source, gates.sanity(measured.answers), asked=True, quantized=quantized)
    fidelity, wanted = gates.fidelity(measured.probes), gates.wanted
    if fidelity is None or wanted is None:
        return page
    page = replace(page, kl=gates.kl(measured.probes))
    return record_fidelity(place, page, source, texts_digest(wanted.texts), wanted.limits, fidelity)


def judge_quality(
    place: Workplace, page: GatePage, gates: _Gates, scored: EvalReport, verdict: Verdict
) -> GatePage:
    """The page after the verdict on the candidate beside what else was measured; raises unless it passes."""
    inputs = gates.candidate.inputs
    suite, seed = inputs.suite, inputs.gates.evaluate.seed
    keep_report(place, gates.candidate.release, suite, seed, scored)
    after = _reviewed(inputs, scored)
    page = _with_details(place, page, gates, after, verdict)
    told = page.drift.told(verdict) if page.drift else verdict
    first = _asked_of_people(place, gates, after, verdict)
    return record_quality(place, page, suite, seed, told, inputs.reviews, first)


def _with_details(
    place: Workplace, page: GatePage, gates: _Gates, after: EvalReport, verdict: Verdict
) -> GatePage:
    """The page with what flipped, what drifted, and what APIs say of the items that a candidate passed."""
    inputs, reports = gates.candidate.inputs, gates.reports
    plan = _plan(inputs)
    flips = flips_behind(inputs.suite, verdict, plan, after, reports)
    return replace(
        page,
        asked={task.name: len(plan.asked(task.name, after.looks)) for task in inputs.suite.tasks},
        flips=with_texts(place.home, flips, after, reports),
        drift=drift_behind(place.home, verdict, plan, after, reports),
        beside=ask_apis(place, inputs, after) if verdict.passed else (),
    )


def _asked_of_people(place: Workplace, gates: _Gates, after: EvalReport, verdict: Verdict) -> str:
    """What people have to do first, the sheet for it written; nothing where the verdict waits for none."""
    inputs, reports = gates.candidate.inputs, gates.reports
    sheet = sheet_of(inputs.suite, _plan(inputs), inputs.gates.evaluate.seed, verdict, after, reports)
    if not sheet:
        return ""
    in_vain = inputs.reviews.in_vain([after, *reports.values()])
    return ask_people(place, sheet, inputs.gates.evaluate.reviews, in_vain)


def _reports(candidate: Candidate, source: Measured | None, live: Live | None) -> dict[str, EvalReport]:
    """What the candidate is compared with, by name."""
    sides = {**({SOURCE: source.report} if source else {}), **({live.name: live.report} if live else {})}
    return {name: _reviewed(candidate.inputs, report) for name, report in sides.items()}


def _reviewed(inputs: Inputs, report: EvalReport) -> EvalReport:
    """With the scores that people gave."""
    return inputs.reviews.applied(inputs.suite, report)


def _plan(inputs: Inputs) -> Plan:
    return plan_of(inputs.suite, inputs.gates.evaluate.seed)


def _fidelity(candidate: Candidate) -> _Fidelity | None:
    """None where nothing was quantized, as there is nothing to be faithful to; or the spec wants none."""
    section = candidate.inputs.gates.evaluate
    if section.fidelity is None or not is_quantized(candidate):
        return None
    return _Fidelity(probe_texts(candidate.inputs.suite, section.seed), limits_of(section.fidelity))


def _measured(place: Workplace, gates: _Gates) -> Measured:
    """What the candidate says, as far as its gates let it."""
    inputs = gates.candidate.inputs
    served = Served("candidate", gates.candidate.weights.manifest, inputs.serve, inputs.installed)
    texts = gates.wanted.texts if gates.wanted else None
    return evaluate(place, served, inputs.suite, inputs.gates.evaluate.seed, texts, judges=gates.judges())
