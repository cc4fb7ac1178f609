"""What every judge returns: a Verdict of four values that lists all its findings.

No data is never a pass. A judge that could not measure says ``error``; one that measured too
little says ``inconclusive``. Neither is ``fail``: only proven harm is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from judging.unit import Unit


class Outcome(StrEnum):
    """The four answers a judge can give."""

    PASS = "pass"  # noqa: S105 - an answer, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


class FailureClass(StrEnum):
    """Who is at fault: the platform (infra), the spec (config), or the model itself."""

    INFRA = "infra"
    CONFIG = "config"
    MODEL = "model"


# Proven harm outweighs a judge that broke beside it; a broken judge outweighs a short sample.
_WORST_FIRST = (Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE, Outcome.PASS)
_GRAVEST_FIRST = (FailureClass.MODEL, FailureClass.CONFIG, FailureClass.INFRA)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """What was estimated from so many samples, with a one-sided confidence bound on either side."""

    estimate: float
    lower: float
    upper: float
    samples: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing a judge looked at: both values, the bound, and what follows, in a sentence.

    ``bound`` is in the unit of the two values' comparison (a difference, a ratio, a rate); the
    message names it, and ``unit`` where all three are counted in the same. ``interval`` is of a gain, the
    more the better, or of what a level in ``bound`` is for; None where nothing was estimated. Both are None
    in what was written before there were any.
    """

    name: str
    outcome: Outcome
    message: str
    baseline: float | None = None
    candidate: float | None = None
    bound: float | None = None
    failure_class: FailureClass | None = None
    interval: Interval | None = None
    unit: Unit | None = None

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values; without an interval and a unit that of older records."""
        return {k: v for k, v in asdict(self).items() if v is not None or k not in {"interval", "unit"}}


@dataclass(frozen=True)
class Verdict:
    """A judge's answer with every finding that led to it."""

    outcome: Outcome
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Verdict:
        """The worst of all findings; none at all is an error, never a pass."""
        found = tuple(findings)
        if not found:
            nothing = Finding(
                name="evidence",
                outcome=Outcome.ERROR,
                message="the judge was given nothing to look at",
                failure_class=FailureClass.INFRA,
            )
            return cls(Outcome.ERROR, (nothing,))
        outcomes = {finding.outcome for finding in found}
        return cls(next(outcome for outcome in _WORST_FIRST if outcome in outcomes), found)

    @property
    def passed(self) -> bool:
        """Whether the answer is pass."""
        return self.outcome is Outcome.PASS

    @property
    def failure_class(self) -> FailureClass | None:
        """The first of model, config and infra that a finding of the verdict's outcome has.

        What the model alone got wrong no other configuration mends, and no second run.
        """
        found = {f.failure_class for f in self.findings if f.outcome is self.outcome}
        return next((one for one in _GRAVEST_FIRST if one in found), None)

    def reasons(self) -> list[str]:
        """The messages of the findings behind the outcome, in the judge's order."""
        return [f.message for f in self.findings if f.outcome is self.outcome]

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        return {"outcome": str(self.outcome), "findings": [f.to_json() for f in self.findings]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Verdict:
        """Read a mapping written by ``to_json``; raises KeyError, TypeError or ValueError otherwise."""
        return cls(Outcome(value["outcome"]), tuple(_finding(f) for f in value["findings"]))


def _finding(value: dict[str, Any]) -> Finding:
    failure, interval, unit = (value.get(name) for name in ("failure_class", "interval", "unit"))
    finding = Finding(
        **{
            **value,
            "outcome": Outcome(value["outcome"]),
            "failure_class": FailureClass(failure) if failure else None,
            "interval": _interval(interval) if interval else None,
            "unit": Unit(unit) if unit else None,
        }
    )
    figures = (finding.baseline, finding.candidate, finding.bound)
    if not isinstance(finding.name, str) or not isinstance(finding.message, str):
        raise TypeError("a finding's name and message are text")
    if not all(figure is None or isinstance(figure, int | float) for figure in figures):
        raise TypeError("a finding's figures are numbers")
    return finding


def _interval(value: dict[str, Any]) -> Interval:
    interval = Interval(**value)
    if not all(isinstance(figure, int | float) for figure in asdict(interval).values()):
        raise TypeError("an interval's figures are numbers")
    return interval
