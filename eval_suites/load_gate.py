"""The load gate: does a candidate bear the declared peak, and does it get through more than that? Pure.

At the peak the objectives hold, absolutely and beside the baseline. At twice the peak no less is answered
within them than by the baseline. At three times nothing breaks: to wait or to be turned away is no failure
there. Asked the peak again, the server is what it was before. Before all that the measurement is judged:
servers that lived, runs that are all there, and a load that was really sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval_suites.load_figures import figures_of
from eval_suites.load_objectives import Objectives
from eval_suites.load_report import LoadReport
from eval_suites.load_runs import CANDIDATE, FACTORS
from eval_suites.load_spec import LoadSpec
from judging.verdict import FailureClass, Finding, Outcome, Verdict

_OFFERED = 0.9  # least share of the rate that has to have been sent


def judge_load(load: LoadSpec, report: LoadReport, baseline: str | None) -> Verdict:
    """The verdict on the candidate beside the side called ``baseline``, if there is one.

    A finding per objective and step, named ``1x/ttft_p95`` or, beside the baseline, ``1x/ttft_p95/ratio``.
    """
    sides = [CANDIDATE, *([baseline] if baseline else [])]
    unfit = _lost(report, sides) or _incomplete(load, report, sides) or _slow_generator(report)
    if unfit:
        return Verdict.of([unfit])
    figures = {
        (side, step): [figures_of(trial, load) for trial in report.of(side, step)]
        for side in sides
        for step in FACTORS
    }
    of = Objectives(load, figures, baseline)
    return Verdict.of([*of.at_peak(), *of.overloaded(), *of.recovered()])


def _lost(report: LoadReport, sides: Sequence[str]) -> Finding | None:
    """What follows from servers that stopped answering: of one, a no; of both, the machine's trouble."""
    lost = [side for side in sides if side in report.lost]
    if not lost:
        return None
    said = "; ".join(f"the server of the {side} {report.lost[side]}" for side in lost)
    if lost == [CANDIDATE] and len(sides) > 1:
        outcome, failure = Outcome.FAIL, FailureClass.MODEL
        said += f", and that of the {sides[1]} bore the same"
    elif lost == [CANDIDATE]:
        outcome, failure = Outcome.FAIL, FailureClass.CONFIG
        said += "; lower serve.max_num_seqs or serve.max_model_len, or declare a lower peak"
    else:
        outcome, failure = Outcome.ERROR, FailureClass.INFRA
        said += ", so nothing was compared; look into memory and logs, and run again"
    return Finding(name="alive", outcome=outcome, message=said, failure_class=failure)


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
        if trial.offered < _OFFERED * trial.run.rate:
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
