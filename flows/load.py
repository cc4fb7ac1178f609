"""The load gate of a candidate: on its open server, beside the server of what it would replace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from eval_suites.comparison import PRODUCTION, SOURCE
from eval_suites.gate_page import GatePage
from eval_suites.load_gate import judge_load
from eval_suites.load_report import LoadReport
from eval_suites.load_runs import CANDIDATE, UNBATCHED
from eval_suites.load_spec import LoadSpec
from flows.baselines import is_own, is_quantized
from flows.candidate import Candidate
from judging.verdict import Verdict
from registry.digest import Digest
from registry.evidence import Evidence
from registry.manifests import load_manifest
from registry.version import ServeConfig, release_digest
from tasks.load_memory import check_memory
from tasks.load_test import measure_beside
from tasks.record import load_borne, record_load, show_borne
from tasks.serving import Endpoint, Served
from tasks.workplace import Workplace


@dataclass(frozen=True)
class LoadGate:
    """A candidate and the load it has to bear."""

    place: Workplace
    candidate: Candidate
    load: LoadSpec

    def check_fits(self, page: GatePage) -> None:
        """Before any server starts: raises what it comes to unless requests and memory fit."""
        if not self._borne and not self._memory.passed:
            self._record(page, LoadReport(()), self._memory)

    def ask(self, endpoint: Callable[[], Endpoint]) -> LoadReport | None:
        """What the runs came to; None where that was borne before."""
        return None if self._borne else measure_beside(self.place, endpoint(), self._served, self.load)

    def judge(self, page: GatePage, report: LoadReport | None) -> GatePage:
        """The page after the gate's verdict, recorded; raises what it comes to unless it passes."""
        if self._borne:
            return show_borne(self.place, page, self.load, self._borne)
        report = report or LoadReport(())
        asked = judge_load(self.load, report, self._baseline.who if self._baseline else None)
        return self._record(page, report, Verdict.of([*self._memory.findings, *asked.findings]))

    def _record(self, page: GatePage, report: LoadReport, verdict: Verdict) -> GatePage:
        return record_load(self.place, page, self._serve, self.load, self._beside, report, verdict)

    @property
    def _serve(self) -> ServeConfig:
        return self.candidate.inputs.serve

    @cached_property
    def _borne(self) -> Evidence | None:
        return load_borne(self.place, self.candidate.release, self.load, self._beside)

    @cached_property
    def _memory(self) -> Verdict:
        gpu_class = self.candidate.inputs.gpu_class
        return check_memory(self.place, self.candidate.weights.manifest, self._serve, gpu_class, self.load)

    @cached_property
    def _baseline(self) -> Served | None:
        """What is live, unless that is the same; else the unquantized source; None where there is neither."""
        inputs, live = self.candidate.inputs, self.candidate.inputs.production
        if live and not is_own(self.candidate, live):
            weights = load_manifest(self.place.store, live.weights_manifest)
            return Served(PRODUCTION, weights, live.serve, inputs.installed)
        if is_quantized(self.candidate):
            return Served(SOURCE, inputs.source.manifest, inputs.serve, inputs.installed)
        return None

    @property
    def _beside(self) -> Digest | None:
        """Of the baseline as it is served here."""
        if self._baseline is None:
            return None
        side, inputs = self._baseline, self.candidate.inputs
        return release_digest(
            side.weights.set_digest, side.installed.runtime.digest, side.serve, inputs.gpu_class
        )

    @property
    def _served(self) -> Mapping[str, Served]:
        """Every side of the load test, so that its server can be started, or started anew."""
        inputs, own = self.candidate.inputs, self.candidate.weights.manifest
        served = {CANDIDATE: Served(CANDIDATE, own, inputs.serve, inputs.installed)}
        if self._baseline:
            served[self._baseline.who] = self._baseline
        if self.load.show_batching:
            one = replace(inputs.serve, max_num_seqs=1)
            served[UNBATCHED] = Served(UNBATCHED, own, one, inputs.installed)
        return served


def load_gate(place: Workplace, candidate: Candidate) -> LoadGate | None:
    """None where the spec names no load."""
    load = candidate.inputs.gates.load
    return LoadGate(place, candidate, load) if load else None
