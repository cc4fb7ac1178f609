"""Where values lie on the drawings of the gate's page, in per cent of their width.

Pure geometry. So drawings are as wide as a screen lets them be, and their text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_ROOM = 0.06  # of the range, on either side
_TICKS, _TICKS_UP = 7, 3  # about so many along a line, and above zero
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """A line from ``low`` to ``high``, with marks at round values; ``digits`` after their point say them."""

    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int = 0

    def at(self, value: float) -> float:
        """The place of a value in per cent; what lies beyond an end is at the end."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 3)

    def plain(self, tick: float) -> str:
        """A tick in words."""
        return f"{tick:.{self.digits}f}"

    def signed(self, tick: float) -> str:
        """A tick as differences are said."""
        return f"{tick:+.{self.digits}f}".replace("-", "\N{MINUS SIGN}") if tick else "0"


def scale_over(values: Iterable[float]) -> Scale:
    """A scale with room for all these finite values."""
    found = list(values) or [0.0]
    room = (max(found) - min(found) or 1.0) * _ROOM
    low, high = min(found) - room, max(found) + room
    step = _round_step((high - low) / _TICKS)
    marks = (n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1))
    return Scale(low, high, tuple(marks), _digits(step))


def from_zero(values: Iterable[float]) -> Scale:
    """A scale from zero up to a round value above all of these."""
    top = max(values, default=0.0) or 1.0
    step = _round_step(top / _TICKS_UP)
    count = math.ceil(top / step * (1 - 1e-9))
    return Scale(0.0, count * step, tuple(n * step for n in range(count + 1)), _digits(step))


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * step for step in _STEPS if power * step >= least * (1 - 1e-9))


def _digits(step: float) -> int:
    return next((digits for digits in range(9) if math.isclose(step, round(step, digits), rel_tol=1e-6)), 9)
