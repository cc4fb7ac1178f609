"""The load gate: does a candidate bear the declared peak, and does it get through more than that? Pure.

At the peak the objectives hold, absolutely and beside the baseline. At twice the peak no less is answered
within them than by the baseline. At three times nothing breaks: to wait or to be turned away is no failure
there. Asked the peak again, the server is what it was before. Before all that the measurement is judged:
servers that lived, runs that are all there, and a load that was really sent.

A server that is lost gets a second one (``tasks.load_test``). Only a candidate that is lost to the same run
twice has failed; a baseline that is, is not compared with where it could not be measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eval_suites.load_figures import figures_of
from eval_suites.load_objectives import Objectives
from eval_suites.load_report import Death, LoadReport
from eval_suites.load_runs import CANDIDATE, FACTORS
from eval_suites.load_spec import LoadSpec
from judging.verdict import FailureClass, Finding, Outcome, Verdict

_OFFERED = 0.9  # least share of the rate that has to have been sent


def judge_load(load: LoadSpec, report: LoadReport, baseline: str | None) -> Verdict:
    """The verdict on the candidate beside the side called ``baseline``, if there is one.

    A finding per objective and step, named ``1x/ttft_p95`` or, beside the baseline, ``1x/ttft_p95/ratio``.
    """
    lost = report.deaths_of(baseline) if baseline else []
    gone = len(lost) > 1
    unfit = _died(report.deaths_of(CANDIDATE), None if lost else baseline) or _ended(lost if gone else [])
    sides = [CANDIDATE, *([baseline] if baseline and not gone else [])]
    unfit = unfit or _incomplete(load, report, sides) or _slow_generator(report)
    if unfit:
        return Verdict.of([unfit])
    figures = {
        (side, step): [figures_of(trial, load) for trial in trials]
        for side in report.sides
        for step in FACTORS
        if len(trials := report.of(side, step)) == load.repeats
    }
    of = Objectives(load, figures, baseline)
    return Verdict.of([*_alone(lost if gone else []), *of.at_peak(), *of.overloaded(), *of.recovered()])


def _died(deaths: Sequence[Death], bearing: str | None) -> Finding | None:
    """What follows from a candidate that was lost; ``bearing`` is a baseline that bore the same, if any."""
    if ended := _ended(deaths):
        return ended
    if not deaths:
        return None
    said = _words(deaths)
    if len(deaths) == 1:
        said += "; started anew it bore the same run, so nobody can tell whose fault that was: run again"
        return Finding(name="alive", outcome=Outcome.INCONCLUSIVE, message=said)
    if bearing:
        failure, said = FailureClass.MODEL, f"{said}; that of the {bearing} bore the same"
    else:
        failure = FailureClass.CONFIG
        said += "; lower serve.max_num_seqs or serve.max_model_len, or declare a lower peak"
    return Finding(name="alive", outcome=Outcome.FAIL, message=said, failure_class=failure)


def _ended(deaths: Sequence[Death]) -> Finding | None:
    """An error where something outside ended a server: that is nobody's fault who is judged here."""
    if not any(death.outside for death in deaths):
        return None
    said = f"{_words(deaths)}; look for what ends servers on this machine, give it memory, and run again"
    return Finding(name="alive", outcome=Outcome.ERROR, message=said, failure_class=FailureClass.INFRA)


def _alone(deaths: Sequence[Death]) -> Iterator[Finding]:
    """Says that a baseline does not bear what the candidate is asked."""
    if deaths:
        said = f"{_words(deaths)}; where it was not measured, the candidate is judged alone"
        yield Finding(name="baseline", outcome=Outcome.PASS, message=said)


def _words(deaths: Sequence[Death]) -> str:
    return f"the server of the {deaths[0].run.side} " + "; started anew, it ".join(d.how for d in deaths)


def _incomplete(load: LoadSpec, report: LoadReport, sides: Sequence[str]) -> Finding | None:
    for side in sides:
        for step in FACTORS:
            count = len(report.of(side, step))
            if count != load.repeats:
                said = f"{count} of {load.repeats} runs at {step} were measured of the {side}; run again"
                return Finding(
                    name="runs", outcome=Outcome.ERROR, message=said, failure_class=FailureClass.INFRA
                )
    return None


def _slow_generator(report: LoadReport) -> Finding | None:
    """An error where less was sent than planned: a load that was not there was not borne."""
    for trial in report.trials:
        if trial.run.step in FACTORS and trial.offered < _OFFERED * trial.run.rate:
            said = (
                f"the load generator sent {trial.offered:.3g} of {trial.run.rate:.3g} requests per second at"
                f" {trial.run.step}; it needs free cores of its own, or a lower declared peak"
            )
            return Finding(
                name="offered",
                outcome=Outcome.ERROR,
                message=said,
                candidate=trial.offered,
                bound=trial.run.rate,
                failure_class=FailureClass.INFRA,
            )
    return None
