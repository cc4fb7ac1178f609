"""How far a stage is, told to whoever shows it.

Stages call ``report``; the command line or a flow says once, with ``set_reporter``, where reports go.
Until then they go nowhere. Nothing here knows how a bar is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tasks.disk import in_words

Reporter = Callable[[str, str, float | None], None]
"""Takes the stage, a message for people, and the fraction done (0 to 1, or None when unknown)."""

StageProgress = Callable[[str, float | None], None]
"""A Reporter with its stage filled in."""


def _nowhere(_stage: str, _message: str, _fraction: float | None) -> None:
    """Where reports go when nobody listens."""


# One per process, not per context: stages report from threads, which would not see a context variable.
_reporter: Reporter = _nowhere


def set_reporter(reporter: Reporter | None) -> Reporter:
    """Send reports to ``reporter`` (None: nowhere) from now on; returns the one it replaces."""
    global _reporter
    previous, _reporter = _reporter, reporter or _nowhere
    return previous


def report(stage: str, message: str, fraction: float | None = None) -> None:
    """Tell the listener where ``stage`` is; ``fraction`` is the part done, 0 to 1, clamped."""
    _reporter(stage, message, None if fraction is None else min(1.0, max(0.0, fraction)))


def progress_of(stage: str) -> StageProgress:
    """``report`` for one stage, to hand to code that does not know which stage it is in."""
    return partial(report, stage)


def byte_counter(stage: str, size: Callable[[], int]) -> Callable[[int], None]:
    """A listener that reports bytes done of all, a hundred times at most; ``size`` is asked at first."""
    done = total = shown = 0

    def heard(count: int) -> None:
        nonlocal done, total, shown
        total = total or max(size(), 1)
        done += count
        if (percent := min(100, 100 * done // total)) > shown:
            shown = percent
            report(stage, f"{in_words(done)} of {in_words(max(done, total))}", done / total)

    return heard
