"""What the gates said of one candidate, as one HTML file that needs nothing else (see ``registry.page``).

Verdict first, then each gate in the order it was asked, then what people want to see of it: intervals against
margins, flips with their texts, the prompt that drifted, how KL is spread, latency over load. Evidence is
what is signed; the page is for reading. Pure: values in, text out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from eval_suites.beside import Beside
from eval_suites.drift import Drift
from eval_suites.flips import TaskFlips
from eval_suites.gate_page_curves import Histogram, LoadCurves
from eval_suites.gate_page_intervals import beside_of, intervals_of
from eval_suites.gate_page_scale import Scale
from eval_suites.gate_report import next_step
from judging.verdict import Outcome, Verdict
from registry.digest import Digest
from registry.page import page_template
from registry.predicates import QUALITY

SYMBOLS = {
    Outcome.PASS: "\N{CHECK MARK}",
    Outcome.FAIL: "\N{BALLOT X}",
    Outcome.INCONCLUSIVE: "?",
    Outcome.ERROR: "!",
}
_WORDS = {
    Outcome.PASS: "Passed",
    Outcome.FAIL: "Failed",
    Outcome.INCONCLUSIVE: "Inconclusive",
    Outcome.ERROR: "Error",
}
_WHY = {
    Outcome.PASS: "Nothing that was measured speaks against this candidate.",
    Outcome.FAIL: "The {} gate found the candidate worse than it may be.",
    Outcome.INCONCLUSIVE: "The {} gate could not tell whether the candidate is good enough.",
    Outcome.ERROR: "The {} gate could not measure, so the candidate was not judged.",
}
_GO_ON = "Next: nothing here; the release goes on to its image, the scan and the registry."
_MOST_REASONS = 3


@dataclass(frozen=True, kw_only=True)
class GatePage:
    """A candidate, and what is known of it so far.

    ``judged`` are the digests by what they are of, ``release`` among them; ``gates`` the verdicts in the
    order asked; ``items`` how many the suite has, by task, ``asked`` how many of them it was asked;
    ``load_notes`` sentences on what else was seen under load.
    """

    name: str
    judged: Mapping[str, Digest]
    gates: Mapping[str, Verdict] = field(default_factory=dict)
    items: Mapping[str, int] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)
    flips: tuple[TaskFlips, ...] = ()
    drift: Drift | None = None
    beside: tuple[Beside, ...] = ()
    kl: Histogram | None = None
    load: tuple[LoadCurves, ...] = ()
    load_notes: tuple[str, ...] = ()

    def after(self, gate: str, verdict: Verdict) -> GatePage:
        """The page once this gate has spoken, too."""
        return replace(self, gates={**self.gates, gate: verdict})

    @property
    def release(self) -> Digest:
        """What the verdicts are on."""
        return self.judged["release"]

    @property
    def deciding(self) -> str:
        """The gate that ended it: the first that did not pass, else the last."""
        return next((gate for gate, verdict in self.gates.items() if not verdict.passed), [*self.gates][-1])


def render(page: GatePage, at: datetime) -> str:
    """The page's HTML, of one gate at least; ``at`` is when the last one spoke."""
    verdict = page.gates[page.deciding]
    quality = page.gates[QUALITY].findings if QUALITY in page.gates else ()
    intervals, floors = intervals_of(quality, page.items, page.asked)
    return page_template("eval_suites", "gate_page.html.jinja").render(
        page=page,
        at=at,
        outcome=verdict.outcome,
        word=_WORDS[verdict.outcome],
        why=_WHY[verdict.outcome].format(page.deciding),
        reasons=[] if verdict.passed else verdict.reasons()[:_MOST_REASONS],
        more=0 if verdict.passed else max(len(verdict.reasons()) - _MOST_REASONS, 0),
        next_step=_next_step(verdict),
        intervals=intervals,
        floors=floors,
        beside=[(api, beside_of(api)) for api in page.beside],
        symbols=SYMBOLS,
        points=_points,
        signed_tick=Scale.signed,
        plain_tick=Scale.plain,
        percent=_percent,
    )


def _next_step(verdict: Verdict) -> str:
    return _GO_ON if verdict.passed else next_step(verdict)


def _points(difference: float) -> str:
    """A difference in points, with a real minus."""
    return f"{100 * difference:+.2f}".replace("-", "\N{MINUS SIGN}")


def _percent(score: float) -> str:
    return f"{100 * score:.2f}"
