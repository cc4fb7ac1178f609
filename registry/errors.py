"""The one error family. Each error says what happened, why, and what to do next, and has an exit code.

Exit codes: 0 done, 2 usage or spec, 10 gate failed or artefact refused, 13 inconclusive, 14 rolled
back, 20 needs approval, 30 timed out, 40 infrastructure. 11 and 12 are left to crashed and cancelled
runs, as in Prefect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class HeadgateError(Exception):
    """A problem the user can act on; printed as one paragraph, never as a traceback.

    ``files`` are those to look at, by what they are, for programs: the words name them as well.
    """

    exit_code: ClassVar[int] = 40

    def __init__(
        self, what: str, *, why: str = "", next_step: str = "", files: Mapping[str, str] | None = None
    ) -> None:
        self.what, self.why, self.next_step, self.files = what, why, next_step, files or {}
        super().__init__(what, why, next_step)

    def __str__(self) -> str:
        next_step = f"Next: {self.next_step}" if self.next_step else ""
        return " ".join(_sentence(part) for part in (self.what, self.why, next_step) if part)

    @property
    def problem(self) -> str:
        """What happened and why, without the next step: for a message that has a next step of its own."""
        return " ".join(_sentence(part) for part in (self.what, self.why) if part)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments would be lost by the default, and Prefect pickles exceptions.
        return _rebuild, (type(self), self.what, self.why, self.next_step, self.files)


def _rebuild(
    kind: type[HeadgateError], what: str, why: str, next_step: str, files: Mapping[str, str]
) -> HeadgateError:
    return kind(what, why=why, next_step=next_step, files=files)


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


class UsageError(HeadgateError):
    """The command or the spec asks for something that cannot be."""

    exit_code = 2


class Refused(HeadgateError):
    """The artefact may not enter or go on: its files break a rule, or what was said about it is a no."""

    exit_code = 10


class GateFailed(HeadgateError):
    """A judge measured harm."""

    exit_code = 10


class Inconclusive(HeadgateError):
    """A judge could not tell, or has not been asked in time, and the policy is to hold."""

    exit_code = 13


class RolledBack(HeadgateError):
    """The canary was judged harmful and every request went back to stable."""

    exit_code = 14


class NeedsApproval(HeadgateError):
    """A person has to decide before this goes on."""

    exit_code = 20


class TimedOut(HeadgateError):
    """Something did not end in the time it was given."""

    exit_code = 30


class InfrastructureError(HeadgateError):
    """The world failed: network, disk, a tool, a server."""

    exit_code = 40
