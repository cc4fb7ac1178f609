"""What the gates say of a model that gets worse and worse: the quickstart's, with noise in its weights.

Each dose adds noise of so many standard deviations to every linear layer before it is quantized; one seed, so
a larger dose goes farther the same way. The candidate is judged beside the source without noise, by the gates
that a release has, and without the fidelity gate, to see what the suite alone would say. What is true of it
comes from the whole suite, which is every item there is, and from all texts, whatever a gate needed of them.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from prefect.settings import PREFECT_SERVER_ANALYTICS_ENABLED, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from cli.display import Display
from eval_suites.comparison import CANDIDATE, SOURCE
from eval_suites.probe_texts import probe_texts
from eval_suites.report import EvalReport
from eval_suites.token_comparison import compare
from examples.quickstart.noise import add_weight_noise
from examples.quickstart.walkthrough import SPEC, trained
from flows.candidate import Candidate, Inputs, prepare
from flows.gates import judge_candidate
from flows.spec import load_spec
from flows.translate import recipes_of
from judging.verdict import Verdict
from registry.errors import GateFailed, Inconclusive
from registry.evidence import list_evidence
from registry.home import Home
from registry.manifest import Manifest
from registry.predicates import FIDELITY, QUALITY, SANITY
from tasks.evaluate import Measured, evaluate
from tasks.quantize import quantize
from tasks.recipe import Recipe
from tasks.run import open_run
from tasks.serving import Served
from tasks.workplace import Workplace

DOSES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
"""Standard deviations of the noise, as multiples of each tensor's own."""


@dataclass(frozen=True)
class Row:
    """What a dose truly does, and what is said of it.

    ``accuracy`` and ``lost``, to the source, are shares of all items; ``kl`` is nats per token of all texts.
    ``release`` is what each gate says that a release asks, ``suite`` what the suite's says where the fidelity
    gate is left out, if it is asked then.
    """

    dose: float
    accuracy: float
    lost: float
    kl: float
    release: Mapping[str, Verdict]
    suite: Verdict | None

    @property
    def passed(self) -> bool:
        """Whether it would be published."""
        return QUALITY in self.release and all(verdict.passed for verdict in self.release.values())

    @property
    def words(self) -> dict[str, str]:
        """Of the release with the gate that decided, and of the suite with the items it took."""
        decided = [f"{v.outcome} ({gate})" for gate, v in self.release.items() if not v.passed]
        used = self.suite.findings[0].interval if self.suite else None
        suite = f"{self.suite.outcome}, {used.samples} items" if self.suite and used else "not asked"
        return {"verdict": decided[0] if decided else "pass", "suite_verdict": suite}


@dataclass(frozen=True)
class Bench:
    """Where the stages work, the source as a release takes it, and the folder it lies in."""

    place: Workplace
    inputs: Inputs
    recipe: Recipe
    model: Path

    def row(self, dose: float) -> Row:
        """Asked before it is judged: a gate reads what it would have asked for, and starts no server."""
        candidate = self.candidate(dose)
        source = self.asked(SOURCE, self.inputs.source.manifest)
        seen = self.asked(CANDIDATE, candidate.weights.manifest)
        tokens = compare(source.probes[0], seen.probes[0])
        return Row(
            dose=dose,
            accuracy=accuracy_of(seen.report),
            lost=accuracy_of(source.report) - accuracy_of(seen.report),
            kl=tokens.mean(tokens.kl),
            release=said(self.place, candidate),
            suite=said(self.place, without_fidelity(candidate)).get(QUALITY),
        )

    def asked(self, who: str, weights: Manifest) -> Measured:
        """What the weights say of everything there is to ask; kept, so asked once."""
        inputs, suite, seed = self.inputs, self.inputs.suite, self.inputs.gates.evaluate.seed
        served = Served(who, weights, inputs.serve, inputs.installed)
        return evaluate(self.place, served, suite, seed, probe_texts(suite, seed), twice=who == SOURCE)

    def candidate(self, dose: float) -> Candidate:
        """The source with that much noise, quantized."""
        noisy = self.place.run.directory / "noisy"
        add_weight_noise(self.model, noisy, dose=dose)
        weights = self.place.blobs.add_tree(noisy)
        shutil.rmtree(noisy)
        return Candidate(self.inputs, quantize(self.place, weights, self.recipe, self.inputs.gpu_class))


def main() -> None:
    """Print the table, then its figures; ``--json`` writes them with the verdicts."""
    logging.getLogger("prefect").setLevel(logging.CRITICAL)  # the stages say where they are
    with ExitStack() as stack:
        stack.enter_context(temporary_settings({PREFECT_SERVER_ANALYTICS_ENABLED: False}))
        stack.enter_context(prefect_test_harness(server_startup_timeout=120))
        stack.enter_context(Display(bars=True))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = stack.enter_context(open_run(Home(folder), "dose-response"))
        bench = prepared(Workplace(run.home, {}, run))
        rows = list(map(bench.row, DOSES))
        margin = bench.inputs.suite.tasks[0].spec.margin
    print("\n".join(table(rows)))
    figures = summed_up(rows, margin)
    for name, value in figures.items():
        print(f"{name}={value:.4g}")
    if "--json" in sys.argv:
        words = {f"dose_{row.dose:g}_{name}": word for row in rows for name, word in row.words.items()}
        Path("dose_response.json").write_text(json.dumps({**figures, **words}))


def prepared(place: Workplace) -> Bench:
    """The quickstart's model trained, and fetched by the quickstart's spec, but from its folder."""
    model, spec = trained(place), load_spec(SPEC)
    local = spec.model.model_copy(update={"uri": str(model), "revision": ""})
    inputs = prepare(place, spec.model_copy(update={"model": local}))
    return Bench(place, inputs, recipes_of(spec.quantize)[0], model)


def said(place: Workplace, candidate: Candidate) -> dict[str, Verdict]:
    """What each gate says, in the order asked, as it is kept of those that are rejected too."""
    with suppress(GateFailed, Inconclusive):
        judge_candidate(place, candidate)
    found = {
        e.kind: e.verdict for e in list_evidence(place.store, candidate.release, place.trust) if e.verdict
    }
    return {gate: found[gate] for gate in (SANITY, FIDELITY, QUALITY) if gate in found}


def without_fidelity(candidate: Candidate) -> Candidate:
    """The same, by a spec that says ``fidelity: null``."""
    gates = candidate.inputs.gates
    section = gates.evaluate.model_copy(update={"fidelity": None})
    inputs = replace(candidate.inputs, gates=gates.model_copy(update={"evaluate": section}))
    return replace(candidate, inputs=inputs)


def accuracy_of(report: EvalReport) -> float:
    """The mean score of all items."""
    return fmean(item.value for items in report.items.values() for item in items)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A line per dose, below what its columns are."""
    yield f"{'noise':>6}{'accuracy':>10}{'lost':>8}{'KL':>9}   {'release':<24}the suite alone"
    for row in rows:
        shares = f"{100 * row.accuracy:8.2f} %{100 * row.lost:8.2f}{row.kl:9.4f}"
        yield f"{row.dose:6g}{shares}   {row.words['verdict']:<24}{row.words['suite_verdict']}"
    yield "(noise in standard deviations of each layer; lost in points, of all items; KL in nats per token)"


def summed_up(rows: Sequence[Row], margin: float) -> dict[str, float]:
    """Each row's figures, and how many doses passed that truly lose more than the margin."""
    harmful = [row for row in rows if row.lost > margin]
    figures = {"awq_passes": float(next(row for row in rows if not row.dose).passed)}
    for row in rows:
        figures[f"dose_{row.dose:g}_accuracy"] = row.accuracy
        figures[f"dose_{row.dose:g}_kl_nats"] = row.kl
    figures["harmful_doses"] = len(harmful)
    figures["harmful_doses_passed"] = sum(row.passed for row in harmful)
    figures["harmful_doses_passed_by_suite"] = sum(
        row.suite is not None and row.suite.passed for row in harmful
    )
    return figures


if __name__ == "__main__":
    main()
