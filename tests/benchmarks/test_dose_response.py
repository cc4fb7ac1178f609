"""The dose-response table: each row says who decided, and a harmful dose that passed is counted."""

from __future__ import annotations

from benchmarks.dose_response import Row, summed_up, table
from judging.verdict import Interval, Outcome, Verdict
from tests.simulators.history import finding


def _said(outcome: Outcome, items: int = 640) -> Verdict:
    interval = Interval(estimate=0.0, lower=0.0, upper=0.0, samples=items)
    return Verdict.of([finding("facts", outcome, interval=interval)])


def _row(dose: float, lost: float, *gates: Outcome, suite: Verdict | None) -> Row:
    """Of a release whose gates said this, in their order."""
    release = dict(zip(("sanity", "fidelity", "quality"), map(_said, gates), strict=False))
    return Row(dose=dose, accuracy=1 - lost, lost=lost, kl=dose / 4, release=release, suite=suite)


PASSES = (Outcome.PASS,) * 3
CLEAN = _row(0, 0.0, *PASSES, suite=_said(Outcome.PASS, 320))
STOPPED = _row(0.5, 0.01, Outcome.PASS, Outcome.FAIL, suite=_said(Outcome.INCONCLUSIVE))
SILENT = _row(1, 0.5, Outcome.FAIL, suite=None)
MISSED = _row(0.8, 0.04, *PASSES, suite=_said(Outcome.PASS))


def test_a_row_names_the_gate_that_decided() -> None:
    """And how many items the suite took, if it was asked at all."""
    lines = list(table([CLEAN, STOPPED, SILENT]))
    assert len(lines) == 5
    assert lines[1].split() == ["0", "100.00", "%", "0.00", "0.0000", "pass", "pass,", "320", "items"]
    assert "fail (fidelity)" in lines[2]
    assert lines[2].endswith("inconclusive, 640 items")
    assert "fail (sanity)" in lines[3]
    assert lines[3].endswith("not asked")


def test_what_passes_and_loses_more_than_the_margin_is_counted() -> None:
    """By the release, and by the suite alone; what loses less may pass."""
    figures = summed_up([CLEAN, STOPPED, SILENT, MISSED], margin=0.03)
    assert figures["awq_passes"] == 1
    assert (figures["dose_0.5_accuracy"], figures["dose_0.5_kl_nats"]) == (0.99, 0.125)
    assert (figures["harmful_doses"], figures["harmful_doses_passed"]) == (2, 1)
    assert figures["harmful_doses_passed_by_suite"] == 1


def test_a_release_that_the_suite_was_not_asked_of_has_not_passed() -> None:
    """No verdict is no pass."""
    assert not _row(0, 0.0, Outcome.PASS, Outcome.PASS, suite=None).passed
