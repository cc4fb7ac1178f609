"""What the gate's page draws beside intervals: how KL is spread, and how latency grows with load. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from eval_suites.gate_page_scale import Scale, from_zero
from eval_suites.load_spec import PERCENTILES

_PER_DECADE = 4
_SMALLEST, _LARGEST = -6, 2  # powers of ten of the first and the last edge that there can be
_LOW, _HIGH = -3, 0  # and of those that there are at least: limits lie between them


@dataclass(frozen=True)
class Histogram:
    """Counts of positive values between edges that rise by equal factors: one more edge than counts.

    What is below the first edge, zero too, is counted in the first bin, what is above the last in the last.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def at(self, value: float) -> float:
        """The place of a value in per cent of the width; what lies beyond an end is at the end."""
        low, high = math.log10(self.edges[0]), math.log10(self.edges[-1])
        return Scale(low, high, ()).at(math.log10(max(value, self.edges[0])))

    def covers(self, value: float) -> bool:
        """Whether a value has a place of its own."""
        return value <= self.edges[-1]

    @property
    def bars(self) -> list[tuple[float, float, float, int]]:
        """Of each bin that is not empty: left, width and height in per cent, and its count."""
        most = max(self.counts)
        places = [self.at(edge) for edge in self.edges]
        bars = zip(pairwise(places), self.counts, strict=True)
        return [(left, right - left, 100 * n / most, n) for (left, right), n in bars if n]

    @property
    def heaped(self) -> str:
        """That the first bin holds what is below it as well, as the end of a sentence; or nothing."""
        is_lowest = math.isclose(self.edges[0], 10.0**_SMALLEST)
        return f"; the first bar holds all below {self.edges[1]:.2g}" if is_lowest and self.counts[0] else ""

    @property
    def decades(self) -> list[float]:
        """The powers of ten among the edges."""
        return [edge for edge in self.edges if math.isclose(math.log10(edge), round(math.log10(edge)))]


def histogram_of(values: Iterable[float]) -> Histogram | None:
    """Values (KL in nats per token, say) counted in quarters of decades; None when there are none."""
    found = list(values)
    if not found:
        return None
    powers = [min(max(math.log10(max(v, 10.0**_SMALLEST)), _SMALLEST), _LARGEST) for v in found]
    low, high = min(math.floor(min(powers)), _LOW), max(math.ceil(max(powers)), _HIGH)
    bins = (high - low) * _PER_DECADE
    counts = [0] * bins
    for power in powers:
        counts[min(int((power - low) * _PER_DECADE), bins - 1)] += 1
    return Histogram(tuple(10 ** (low + n / _PER_DECADE) for n in range(bins + 1)), tuple(counts))


@dataclass(frozen=True, kw_only=True)
class LoadPoint:
    """Latencies at a multiple of the declared peak."""

    times: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class LoadCurves:
    """One metric (``TTFT``, ``TPOT``) in one unit, by who was measured: the candidate, then its baseline.

    ``limits`` are what the candidate is held to at the declared peak, by percentile.
    """

    metric: str
    unit: str
    series: Mapping[str, tuple[LoadPoint, ...]]
    limits: Mapping[str, float]

    @property
    def panels(self) -> list[Panel]:
        """A drawing per percentile."""
        return [self._panel(percentile) for percentile in PERCENTILES]

    def _panel(self, percentile: str) -> Panel:
        lines = {
            who: tuple((point.times, float(getattr(point, percentile))) for point in points)
            for who, points in self.series.items()
        }
        values = [value for line in lines.values() for _, value in line]
        limit = self.limits.get(percentile)
        loads = sorted({times for line in lines.values() for times, _ in line})
        scale = from_zero(values if limit is None else [*values, limit])
        return Panel(f"{self.metric} {percentile}, {self.unit}", lines, limit, scale, tuple(loads))


@dataclass(frozen=True)
class Panel:
    """Lines over load, from zero up; ``limit`` is None where nothing is asked of this percentile."""

    title: str
    lines: Mapping[str, tuple[tuple[float, float], ...]]
    limit: float | None
    scale: Scale
    loads: tuple[float, ...]

    @property
    def first(self) -> str:
        """Whose line is drawn before all others: the candidate's."""
        return next(iter(self.lines))

    def x(self, times: float) -> float:
        """The place of a load in per cent of the width; values are written where the first has left room."""
        span = self.loads[-1] - self.loads[0]
        return round(18 + 76 * (times - self.loads[0]) / span, 3) if span else 50.0

    def y(self, value: float) -> float:
        """The place of a value in per cent of the height, from the top."""
        return round(100 - self.scale.at(value), 3)

    @property
    def segments(self) -> list[tuple[str, tuple[float, float, float, float]]]:
        """The lines piece by piece: whose, and x and y of both ends in per cent."""
        return [
            (who, (self.x(a), self.y(b), self.x(c), self.y(d)))
            for who, line in self.lines.items()
            for (a, b), (c, d) in pairwise(line)
        ]
