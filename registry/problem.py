"""Something wrong in a registry, and what helps: what ``reconcile`` finds. Plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Mend = Callable[[], bool]


@dataclass(frozen=True)
class Problem:
    """What is wrong, and what helps; ``mend`` does it and says whether it helped, None leaves it to people.

    A ``harmless`` one needs nothing: it is over when the next run goes on from there. An ``unseen`` one is a
    place that could not be looked at, such as a registry that does not answer.
    """

    what: str
    remedy: str
    mend: Mend | None = None
    harmless: bool = False
    unseen: bool = False

    def __str__(self) -> str:
        """Both, for people."""
        return f"{self.what} Next: {self.remedy}."
