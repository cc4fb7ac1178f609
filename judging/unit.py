"""What a finding's figures are counted in, and how people are told them. Pure."""

from __future__ import annotations

from enum import StrEnum

_GIBIBYTE = 1 << 30


class Unit(StrEnum):
    """Milliseconds, shares of 1, bytes, or what comes of a comparison: how many times as much it is, or the
    share that is lost, which is a gain below zero.
    """

    MILLISECONDS = "ms"
    SHARE = "share"
    BYTES = "bytes"
    TIMES = "times"
    LOST = "lost"

    def says(self, value: float) -> str:
        """A figure in words: to three or four digits, and all before the point, as nobody reads 1e+03."""
        match self:
            case Unit.MILLISECONDS:
                return f"{value:.0f} ms" if value >= 1000 else f"{value:.4g} ms"
            case Unit.SHARE:
                return f"{100 * value:.3g} %"
            case Unit.BYTES:
                return f"{value / _GIBIBYTE:.3g} GiB"
            case Unit.TIMES:
                return f"{value:.3g}\N{MULTIPLICATION SIGN}"
            case Unit.LOST:
                return f"{100 * abs(value):.3g} % {'more' if value < 0 else 'less'}"
