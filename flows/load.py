"""The load gate of a candidate: on its open server, beside the server of what it would replace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from eval_suites.comparison import SOURCE
from eval_suites.gate_page import GatePage
from eval_suites.load_gate import judge_load
from eval_suites.load_report import LoadReport
from eval_suites.load_runs import UNBATCHED
from eval_suites.load_spec import LoadSpec
from flows.baselines import is_quantized, served_live
from flows.candidate import Candidate
from judging.verdict import Verdict
from registry.digest import Digest
from registry.predicates import LOAD
from registry.version import ServeConfig
from tasks.load_memory import check_memory
from tasks.load_test import measure_beside
from tasks.record import load_borne, record_load
from tasks.serving import Endpoint, Served
from tasks.workplace import Workplace


@dataclass(frozen=True)
class LoadGate:
    """A candidate and the load it has to bear."""

    place: Workplace
    candidate: Candidate
    load: LoadSpec

    def ask(self, endpoint: Callable[[], Endpoint]) -> LoadReport | None:
        """What the runs came to, none where it does not fit into memory; None where it was borne before."""
        if self._borne:
            return None
        if not self._memory.passed:
            return LoadReport(())
        return measure_beside(self.place, endpoint(), self._others, self.load)

    def judge(self, page: GatePage, report: LoadReport | None) -> GatePage:
        """The page after the gate's verdict, recorded; raises what it comes to unless it passes."""
        if report is None and self._borne:
            return page.after(LOAD, self._borne)
        report = report or LoadReport(())
        findings = [*self._memory.findings]
        if self._memory.passed:
            beside = self._baseline.who if self._baseline else None
            findings += judge_load(self.load, report, beside).findings
        verdict = Verdict.of(findings)
        return record_load(self.place, page, self._serve, self.load, self._beside, report, verdict)

    @property
    def _serve(self) -> ServeConfig:
        return self.candidate.inputs.serve

    @cached_property
    def _borne(self) -> Verdict | None:
        return load_borne(self.place, self.candidate.release, self.load, self._beside)

    @cached_property
    def _memory(self) -> Verdict:
        gpu_class = self.candidate.inputs.gpu_class
        return check_memory(self.place, self.candidate.weights.manifest, self._serve, gpu_class, self.load)

    @cached_property
    def _baseline(self) -> Served | None:
        """What is live, else the unquantized source; None where the candidate is the first of its kind."""
        inputs = self.candidate.inputs
        if inputs.production:
            return served_live(self.place, inputs, inputs.production)
        if is_quantized(self.candidate):
            return Served(SOURCE, inputs.source.manifest, inputs.serve, inputs.installed)
        return None

    @property
    def _beside(self) -> Digest | None:
        """Of the baseline's weights."""
        return self._baseline.weights.set_digest if self._baseline else None

    @property
    def _others(self) -> Mapping[str, Served]:
        inputs = self.candidate.inputs
        others = {self._baseline.who: self._baseline} if self._baseline else {}
        if self.load.show_batching:
            one = replace(inputs.serve, max_num_seqs=1)
            others[UNBATCHED] = Served(UNBATCHED, self.candidate.weights.manifest, one, inputs.installed)
        return others


def load_gate(place: Workplace, candidate: Candidate) -> LoadGate | None:
    """None where the spec names no load."""
    load = candidate.inputs.gates.load
    return LoadGate(place, candidate, load) if load else None
