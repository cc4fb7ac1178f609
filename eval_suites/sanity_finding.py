"""How a finding of the sanity gate on files is worded. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from judging.verdict import FailureClass, Finding, Outcome

_SHOWN = 3  # problems in a sentence


def finding(name: str, problems: Sequence[str], good: str, bad: str = "", **figures: float) -> Finding:
    """A fail of the model that names the first problems, or a pass."""
    return Finding(
        name=name,
        outcome=Outcome.FAIL if problems else Outcome.PASS,
        message=": ".join(part for part in (bad, first(problems)) if part) if problems else good,
        failure_class=FailureClass.MODEL if problems else None,
        interval=None,
        unit=None,
        **figures,
    )


def first(problems: Sequence[str]) -> str:
    """The first few problems as one sentence."""
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return f"{'; '.join(problems[:_SHOWN])}{more}"
