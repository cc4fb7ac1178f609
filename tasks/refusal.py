"""What a gate that did not pass ends a release with: whose fault it was, and what to do next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eval_suites.sanity_layers import OTHER_TENSORS
from judging.verdict import FailureClass, Outcome, Verdict
from registry.errors import GateFailed, HeadgateError, Inconclusive, InfrastructureError, UsageError

_FIDELITY_NEXT: Mapping[type[HeadgateError], str] = {
    GateFailed: "another recipe or engine under quantize may do better",
    Inconclusive: "a larger suite has more texts; `fidelity: null` leaves it to the suite",
    UsageError: "mend what it names and run the same command again",
    InfrastructureError: "read the logs beside it and run the same command again",
}


def fidelity_mending(verdict: Verdict) -> str:
    """What may help against a fidelity gate that did not pass, as half a sentence."""
    return _FIDELITY_NEXT[_kind(verdict)]


def mending(verdict: Verdict, quantized: bool) -> str:
    """What may help against a sanity gate that did not pass, as half a sentence."""
    if verdict.failure_class is FailureClass.CONFIG:
        return "change in the spec what it names"
    if not quantized:
        return "no recipe was asked for: choose another model, or look at its serve section"
    if any(f.name == OTHER_TENSORS and f.outcome is Outcome.FAIL for f in verdict.findings):
        return "what is lost of other tensors no recipe brings back: take it out of the source"
    return "another recipe or engine under quantize may do better"


def refusal(
    gate: str, verdict: Verdict, next_step: str, page: Path, sheet: Path | None = None
) -> HeadgateError:
    """The error of a gate that did not pass, with the files that it left to read."""
    files = {"page": str(page), **({"review": str(sheet)} if sheet else {})}
    said = f"{gate} said {verdict.outcome}; nothing was published"
    return _kind(verdict)(said, why="; ".join(verdict.reasons()), next_step=next_step, files=files)


def _kind(verdict: Verdict) -> type[HeadgateError]:
    """Of a no and of an error it counts whose fault it is; who cannot tell blames nobody."""
    if verdict.outcome is Outcome.INCONCLUSIVE:
        return Inconclusive
    if verdict.failure_class is FailureClass.CONFIG:
        return UsageError
    model = verdict.outcome is Outcome.FAIL or verdict.failure_class is FailureClass.MODEL
    return GateFailed if model else InfrastructureError
