"""Where the prompts of two sides drifted apart: the first of them, word by word, for people to mend. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from eval_suites.plan import Plan
from eval_suites.report import EvalReport, pair
from eval_suites.texts import Place
from judging.verdict import FailureClass, Outcome, Verdict
from registry.plain_text import plain

_WORD = re.compile(r" ?\w+| ?[^\w\s]+|\s+")
_BESIDE = 60  # characters of what is alike beside a change
_LONGEST = 200  # characters of a change
_MOST = 6  # changes
_LEFT_OUT = "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True)
class Piece:
    """A stretch of the baseline's prompt, and what the candidate's has in its place: often the same."""

    before: str
    after: str

    @property
    def is_same(self) -> bool:
        """Whether both have it."""
        return self.before == self.after

    @property
    def words(self) -> str:
        """On one line, changes in the notation of ``git diff --word-diff``."""
        if self.is_same:
            return _one_line(self.after)
        gone = f"[-{_one_line(self.before)}-]" if self.before else ""
        come = f"{{+{_one_line(self.after)}+}}" if self.after else ""
        return gone + come


@dataclass(frozen=True)
class Drift:
    """The first item of a task whose prompt is not the one that this baseline got, piece by piece."""

    baseline: str
    task: str
    doc_id: int
    pieces: tuple[Piece, ...]

    def told(self, verdict: Verdict) -> Verdict:
        """The verdict with the pieces in the message of the finding that they explain."""
        words = "".join(piece.words for piece in self.pieces)
        said = f"; item {self.doc_id} from {self.baseline} to candidate: {words}"
        mine = f"{self.baseline}/{self.task}"
        findings = (replace(f, message=f.message + said) if f.name == mine else f for f in verdict.findings)
        return replace(verdict, findings=tuple(findings))


def first_drifted(
    verdict: Verdict, plan: Plan, candidate: EvalReport, baselines: Mapping[str, EvalReport]
) -> tuple[str, Place] | None:
    """The baseline and the item of a quality verdict's first finding on drifted prompts; None without one."""
    for finding in verdict.findings:
        name, _, task = finding.name.partition("/")
        told = (finding.outcome, finding.failure_class) == (Outcome.ERROR, FailureClass.CONFIG)
        if told and name in baselines:
            baseline = baselines[name]
            asked = plan.asked(task, min(baseline.looks, candidate.looks))
            drifted = pair(baseline.of(task, asked), candidate.of(task, asked)).drifted
            return name, (task, drifted[0])
    return None


def drift_of(baseline: str, place: Place, before: str, after: str) -> Drift | None:
    """The two prompts side by side; None where they differ only in what was not kept of them."""
    if before == after:
        return None
    return Drift(baseline, *place, pieces=tuple(_shown(_compared(before, after))))


def _compared(before: str, after: str) -> list[Piece]:
    old, new = _WORD.findall(before), _WORD.findall(after)
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [Piece("".join(old[a:b]), "".join(new[c:d])) for _, a, b, c, d in steps]


def _shown(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """What people can read: the first changes, each cut to its beginning, with a little of what is beside."""
    changes = 0
    for number, piece in enumerate(pieces):
        if piece.is_same:
            text = _beside(piece.after, is_first=number == 0, is_last=number == len(pieces) - 1)
            yield Piece(text, text)
        elif changes == _MOST:
            yield Piece(_LEFT_OUT, _LEFT_OUT)
            return
        else:
            changes += 1
            yield Piece(_begin(piece.before), _begin(piece.after))


def _beside(text: str, *, is_first: bool, is_last: bool) -> str:
    head, tail = 0 if is_first else _BESIDE, 0 if is_last else _BESIDE
    if len(text) <= head + tail:
        return text
    return text[:head] + _LEFT_OUT + text[len(text) - tail :]


def _begin(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + _LEFT_OUT


def _one_line(text: str) -> str:
    return plain(text).replace("\n", r"\n").replace("\t", r"\t")
