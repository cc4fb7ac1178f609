"""The objectives of the load gate, figure by figure: absolute, beside the baseline, after the overload. Pure.

A figure passes or fails when the whole interval of its repeats (``load_figures``) is on one side of its
bound. Whose fault a failure is: where the baseline keeps a bound that the candidate breaks, the model's;
where it does not keep it either, or there is none, the configuration's: other weights would not help.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from eval_suites.load_figures import Spread, spread
from eval_suites.load_runs import AGAIN, CANDIDATE, DOUBLE, FACTORS, PEAK, TRIPLE
from eval_suites.load_spec import LoadSpec
from judging.unit import Unit
from judging.verdict import FailureClass, Finding, Outcome

Says = Callable[[float], str]


@dataclass(frozen=True)
class Objectives:
    """All judgements on a candidate. ``figures`` are those of each repeat, by side and step.

    The candidate's are all there. Where the baseline's are not, the candidate is judged alone.
    """

    load: LoadSpec
    figures: Mapping[tuple[str, str], list[dict[str, float]]]
    baseline: str | None

    def at_peak(self) -> Iterator[Finding]:
        """The objectives at the declared peak, and beside the baseline."""
        yield from self._objectives(PEAK)
        for name in self.load.latencies:
            yield from self._beside(PEAK, name, f"{name}_ms")

    def overloaded(self) -> Iterator[Finding]:
        """What is answered well at twice the peak, and that nothing breaks there and at three times of it."""
        yield from self._goodput()
        for step in (DOUBLE, TRIPLE):
            yield self._within(step, "broken", "broken_rate", self.load.max_error_rate, Unit.SHARE)

    def recovered(self) -> Iterator[Finding]:
        """The objectives at the peak once more, and that answers take no longer than they did before."""
        yield from self._objectives(AGAIN)
        figures = {
            side: self._ratios("e2e_p50_ms", (side, AGAIN), (side, PEAK)) for side in self._sides(AGAIN, PEAK)
        }
        words = "e2e_p50 after the overload beside that before it in the same repeat"
        yield self._ratio_finding(f"{AGAIN}/recovery", words, figures)

    def _sides(self, *steps: str) -> list[str]:
        """Those that were measured at all these steps."""
        sides = [CANDIDATE, *([self.baseline] if self.baseline else [])]
        return [side for side in sides if all((side, step) in self.figures for step in steps)]

    def _objectives(self, step: str) -> Iterator[Finding]:
        load = self.load
        for name, bound in load.latencies.items():
            yield self._within(step, name, f"{name}_ms", bound, Unit.MILLISECONDS)
        if load.min_goodput is not None:
            yield self._within(step, "missed", "missed_rate", 1 - load.min_goodput, Unit.SHARE)
        yield self._within(step, "errors", "error_rate", load.max_error_rate, Unit.SHARE)

    def _within(self, step: str, name: str, figure: str, bound: float, unit: Unit) -> Finding:
        """One figure against its bound."""
        says = unit.says
        seen = {side: spread(self._values(figure, side, step)) for side in self._sides(step)}
        mine, theirs = seen[CANDIDATE], seen.get(self.baseline or "")
        outcome = _place(mine, bound)
        beside = f", {says(theirs.median)} of the {self.baseline}" if theirs else ""
        said = f"{name} at {step}: {_range(mine, says)}{beside}, at most {says(bound)} is allowed"
        return Finding(
            name=f"{step}/{name}",
            outcome=outcome,
            message=said + self._conclusion(outcome),
            baseline=_finite(theirs.median) if theirs else None,
            candidate=_finite(mine.median),
            bound=bound,
            failure_class=_fault(outcome, theirs, bound),
            unit=unit,
        )

    def _beside(self, step: str, name: str, figure: str) -> Iterator[Finding]:
        """One figure as a ratio to the baseline's in the same repeat; above 1 is worse."""
        if not self.baseline or self.baseline not in self._sides(step):
            return
        sides = ((CANDIDATE, step), (self.baseline, step))
        words = f"{name} at {step} beside that of the {self.baseline} in the same repeat"
        found = self._ratio_finding(f"{step}/{name}/ratio", words, {CANDIDATE: self._ratios(figure, *sides)})
        failure = FailureClass.MODEL if found.outcome is Outcome.FAIL else found.failure_class
        yield replace(found, failure_class=failure)

    def _goodput(self) -> Iterator[Finding]:
        """What is lost of the baseline's goodput, as a share of what is asked: of little, little is lost."""
        if not self.baseline or self.baseline not in self._sides(DOUBLE):
            return
        asked = self.load.peak_requests_per_second * FACTORS[DOUBLE]
        both = [self._values("goodput", side, DOUBLE) for side in (CANDIDATE, self.baseline)]
        lost = spread([(theirs - mine) / asked for mine, theirs in zip(*both, strict=True)])
        bound = 1 - 1 / self.load.max_ratio
        outcome = _place(lost, bound)
        says = Unit.LOST.says
        said = (
            f"goodput at {DOUBLE} beside that of the {self.baseline} in the same repeat: of the {asked:.3g}"
            f" requests per second {_range(lost, says)} in the median, at most {says(bound)} is allowed"
        )
        yield Finding(
            name=f"{DOUBLE}/goodput",
            outcome=outcome,
            message=said + self._conclusion(outcome),
            candidate=lost.median,
            bound=bound,
            unit=Unit.LOST,
            failure_class=FailureClass.MODEL if outcome is Outcome.FAIL else None,
        )

    def _ratio_finding(self, name: str, words: str, ratios: dict[str, list[float]]) -> Finding:
        """Ratios against the largest that is allowed; where nothing can be divided, nobody can tell."""
        bound = self.load.max_ratio
        if any(math.isnan(ratio) for ratio in ratios[CANDIDATE]):
            said = f"{words}: nothing was answered on either side, so there is nothing to compare"
            return Finding(
                name=name,
                outcome=Outcome.INCONCLUSIVE,
                message=said,
                bound=bound,
                unit=Unit.TIMES,
                failure_class=FailureClass.CONFIG,
            )
        mine, theirs = spread(ratios[CANDIDATE]), ratios.get(self.baseline or "")
        outcome, other = _place(mine, bound), spread(theirs) if theirs else None
        beside = f", {_times(other.median)} of the {self.baseline}" if other else ""
        allowed = f"at most {_times(bound)} times is allowed"
        said = f"{words}: {_range(mine, _times)} times as much in the median{beside}, {allowed}"
        return Finding(
            name=name,
            outcome=outcome,
            message=said + self._conclusion(outcome),
            baseline=_finite(other.median) if other else None,
            candidate=_finite(mine.median),
            bound=bound,
            failure_class=_fault(outcome, other, bound),
            unit=Unit.TIMES,
        )

    def _values(self, figure: str, side: str, step: str) -> list[float]:
        return [figures[figure] for figures in self.figures[side, step]]

    def _ratios(self, figure: str, over: tuple[str, str], under: tuple[str, str]) -> list[float]:
        pairs = zip(self._values(figure, *over), self._values(figure, *under), strict=True)
        return [_ratio(a, b) for a, b in pairs]

    def _conclusion(self, outcome: Outcome) -> str:
        if outcome is not Outcome.INCONCLUSIVE:
            return ""
        return f"; the {self.load.repeats} repeats disagree: longer or more runs would tell"


def _place(seen: Spread, bound: float) -> Outcome:
    if seen.high <= bound:
        return Outcome.PASS
    return Outcome.FAIL if seen.low > bound else Outcome.INCONCLUSIVE


def _fault(outcome: Outcome, baseline: Spread | None, bound: float) -> FailureClass | None:
    if outcome is not Outcome.FAIL:
        return None
    kept = baseline is not None and _place(baseline, bound) is Outcome.PASS
    return FailureClass.MODEL if kept else FailureClass.CONFIG


def _ratio(over: float, under: float) -> float:
    """NaN where neither has a value; 0 is the time per token of answers that came as a whole."""
    if over == under:
        return math.nan if math.isinf(over) else 1.0
    return over / under if under else math.inf


def _range(seen: Spread, says: Says) -> str:
    return f"{says(seen.median)} ({says(seen.low)} to {says(seen.high)})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _times(value: float) -> str:
    return f"{value:.3g}"
