"""The gates' page: verdict first, one file, nothing to load from elsewhere, and foreign text stays text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval_suites.beside import Beside, TaskBeside
from eval_suites.drift import Drift, Piece, drift_of
from eval_suites.flips import flips_behind
from eval_suites.gate_page import GatePage
from eval_suites.gate_page import render as rendered
from eval_suites.gate_page_curves import LoadCurves, LoadPoint, histogram_of
from eval_suites.plan import plan_of
from eval_suites.report import EvalReport
from eval_suites.suite import Suite
from eval_suites.texts import ItemText
from judging.unit import Unit
from judging.verdict import Interval, Outcome, Verdict
from registry.digest import Digest
from tests.simulators.evaluation import SEED, judged, report
from tests.simulators.history import HOSTILE, finding
from tests.simulators.pages import Page, check_self_contained, pictured, printed

SANITY = Verdict.of([finding("layers", message="224 layers are what their recipe says")])
ALL = {"choose": set(range(570)), "write": set(range(570))}
RTL = "\u0645\u0631\u062d\u0628\u0627 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u202e<b>"


def render(page: GatePage) -> str:
    return rendered(page, datetime(2026, 11, 3, tzinfo=UTC))


def page_of(
    suite: Suite, right: dict[str, set[int]], baselines: Mapping[str, EvalReport], **how: str
) -> GatePage:
    """The page after the sanity and the quality gate on a model that answers these items right."""
    candidate = report(suite, right, **how)
    verdict = judged(suite, candidate, baselines)
    parts = ("release", "weights", "runtime", "serve", "suite")
    page = GatePage(
        name="tiny",
        judged={part: Digest.of_json(part) for part in parts},
        items={task.name: task.items for task in suite.tasks},
        asked={task.name: task.items for task in suite.tasks},
        flips=tuple(flips_behind(suite, verdict, plan_of(suite, SEED), candidate, baselines)),
    )
    return page.after("sanity", SANITY).after("quality", verdict)


def with_text(page: GatePage, text: str) -> GatePage:
    """The same, everything asked and answered being this."""
    places = {place: ItemText(text, text) for flips in page.flips for place in flips.places}
    return replace(page, flips=tuple(flips.with_texts(places, places) for flips in page.flips))


@pytest.fixture(scope="module")
def pages(facts: Suite) -> dict[str, GatePage]:
    """A page for every answer there is, and one of a candidate that nothing was compared with."""
    source = {"source": report(facts, ALL)}
    lost = {"choose": set(range(480)), "write": set(range(571))}
    return {
        "pass": page_of(facts, {**ALL, "choose": set(range(2, 571))}, source),
        "fail": page_of(facts, lost, source),
        "inconclusive": page_of(facts, {**ALL, "choose": set(range(555))}, source),
        "error": page_of(facts, ALL, source, template="drifted"),
        "alone": page_of(facts, ALL, {}),
    }


NAMES = ["pass", "fail", "inconclusive", "error", "alone"]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_needs_nothing_else(pages: dict[str, GatePage], name: str) -> None:
    """Whatever the answer; and no two elements share an id."""
    page = Page(render(pages[name]))
    check_self_contained(page)
    assert len(page.values("id")) == len({*page.values("id")})


@pytest.mark.parametrize(
    ("name", "word", "then"),
    [
        ("pass", "\u2713 Passed", "Next: nothing here; the release goes on"),
        ("fail", "\u2717 Failed", "Next: use a gentler recipe or another source"),
        ("inconclusive", "? Inconclusive", "Next: give the gate more to judge by"),
        ("error", "! Error", "Next: mend the suite or the spec"),
        ("alone", "\u2713 Passed", "Next: nothing here"),
    ],
)
def test_the_verdict_comes_first(pages: dict[str, GatePage], name: str, word: str, then: str) -> None:
    """In a word and a symbol, then why, then what to do; colour is never alone."""
    page = pages[name]
    text = " ".join(" ".join(Page(render(page)).words).split())
    reasons = [] if page.gates["quality"].passed else page.gates["quality"].reasons()
    places = [text.index(said) for said in (word, *reasons, then, "1. sanity", "2. quality")]
    assert places == sorted(places)


def test_a_load_that_decides_nothing_asks_for_more(pages: dict[str, GatePage]) -> None:
    """Its finding says more of what."""
    said = finding("1x/ttft_p95", Outcome.INCONCLUSIVE, message="longer or more runs would tell")
    text = " ".join(Page(render(pages["pass"].after("load", Verdict.of([said])))).words)
    assert "The load gate could not tell whether the candidate is good enough." in text
    assert "Next: give the gate more to judge by; its findings say of what." in text
    assert "longer or more runs would tell" in text


def test_figures_are_told_in_their_unit(pages: dict[str, GatePage]) -> None:
    """Bytes as GiB, a limit as what it limits; of older records as numbers, as nobody knows what they are."""
    units = [
        (Unit.BYTES, 1.79e7, 14e9),
        (Unit.TIMES, 0.599, 3.0),
        (Unit.SHARE, 0.0, 0.1),
        (Unit.LOST, -0.01, 0.2),
        (None, 56, 128),
    ]
    said = [finding("x", candidate=seen, bound=bound, unit=unit) for unit, seen, bound in units]
    verdict = Verdict.from_json(Verdict.of(said).to_json())
    assert verdict.findings == tuple(said)
    html = render(pages["pass"].after("load", verdict))
    for seen in (
        "0.0167 GiB",
        "13 GiB",
        "0.599\u00d7",
        "3\u00d7",
        "0 %",
        "10 %",
        "1 % more",
        "20 % less",
        "56",
        "128",
    ):
        assert f">{seen}</td>" in html


def test_gates_that_were_not_asked_are_not_there(pages: dict[str, GatePage]) -> None:
    """And the one that ended it is named."""
    failed = Verdict.of([finding("weights", Outcome.FAIL, message="12 layers are zeros")])
    page = GatePage(name="tiny", judged=pages["pass"].judged).after("sanity", failed)
    text = " ".join(Page(render(page)).words)
    assert "The sanity gate found the candidate worse" in text
    assert "12 layers are zeros" in text
    assert "uality" not in text


def test_every_difference_is_drawn_on_one_scale(pages: dict[str, GatePage]) -> None:
    """Estimate between its bounds, margins, items used of all; and what was judged, with digests in full."""
    html = render(pages["fail"])
    text = " ".join(Page(html).words)
    (failed, passed) = pages["fail"].gates["quality"].findings
    assert failed.interval
    assert failed.interval.lower < failed.interval.estimate < failed.interval.upper < -0.03
    assert f"{failed.interval.samples} of 600 items, 600 asked" in text
    assert passed.outcome is Outcome.PASS
    assert html.count('class="margin"') == 2
    assert {*map(str, pages["fail"].judged.values())} <= {*Page(html).values("title")}


def test_flips_stand_with_what_each_side_said(pages: dict[str, GatePage]) -> None:
    """Or with a sentence, where texts were not kept."""
    text = " ".join(Page(render(with_text(pages["pass"], "Who was it?"))).words)
    assert "2 lost, 1 gained" in text
    assert text.count("Who was it?") == 9  # a prompt and two answers each
    assert "not kept" not in text
    assert "The texts of this item were not kept." in render(pages["pass"])


def test_a_drifted_prompt_is_shown_word_by_word(pages: dict[str, GatePage]) -> None:
    """What is gone and what has come, line breaks too; and which is which, in words."""
    drift = drift_of("source", ("choose", 0), "[INST] Who?", "[INST]\nWho?")
    html = render(replace(pages["error"], drift=drift))
    assert "<del> Who</del><ins>\u21b5\nWho</ins>?" in html
    assert "what only source was asked" in " ".join(Page(html).words)
    assert "What drifted" not in render(pages["error"])


def test_evidence_without_intervals_is_shown_in_words(pages: dict[str, GatePage]) -> None:
    """As it was signed before there were any; written again, it is the same."""
    old = [{**f.to_json(), "interval": None} for f in pages["pass"].gates["quality"].findings]
    kept = [{k: v for k, v in finding.items() if k != "interval"} for finding in old]
    verdict = Verdict.from_json({"outcome": "pass", "findings": kept})
    assert verdict.to_json()["findings"] == kept
    text = " ".join(Page(render(pages["pass"].after("quality", verdict))).words)
    assert "the loss is within the margin" in text


@pytest.mark.parametrize(
    "wrong", [{"estimate": 0.0}, {"estimate": "0", "lower": 0, "upper": 0, "samples": 1}]
)
def test_an_interval_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    """Evidence is read strictly."""
    said = {"name": "x", "outcome": "pass", "message": "x", "interval": wrong}
    with pytest.raises(TypeError):
        Verdict.from_json({"outcome": "pass", "findings": [said]})


def test_floors_stand_apart(choosing: Callable[..., Suite]) -> None:
    """They are about the candidate's own score, on a scale of its own."""
    suite = choosing(floor=0.97)
    text = " ".join(Page(render(page_of(suite, ALL, {"source": report(suite, ALL)}))).words)
    before, _, apart = text.partition("Floors")
    assert "its floor" in apart
    assert "its floor" not in before.partition("1. sanity")[2]
    assert "95.00" in apart


def test_the_limit_of_kl_has_its_place_among_the_texts() -> None:
    """Also where all texts are far below it; what is beyond the drawing is not drawn at its edge."""
    seen = histogram_of([0.0, 1e-9, 0.004])
    assert seen is not None
    assert sum(seen.counts) == 3
    assert seen.at(1e-9) == seen.at(0) == 0
    assert seen.at(0.004) < seen.at(0.15) < seen.at(1) == 100
    assert (seen.covers(0.15), seen.covers(2.0)) == (True, False)
    assert histogram_of([]) is None


def full(page: GatePage, text: str) -> GatePage:
    """The page of a candidate that went through every gate, with this text wherever one can be."""
    fidelity = finding("fidelity/kl", candidate=0.03, bound=0.15, message=text)
    load = finding("load/ttft", candidate=212.0, bound=500.0, message=text)
    points = tuple(LoadPoint(times=n, p50=10 * n, p95=20 * n, p99=0) for n in (1, 2, 3))
    curves = LoadCurves(
        metric="TTFT", unit="ms", series={"candidate": points, text: points}, limits={"p95": 50}
    )
    drift = Drift(text, text, 0, (Piece(text, text), Piece(text, "y"), Piece("", text)))
    page = replace(page, name=text, kl=histogram_of([0, 1e-3, 0.02, 0.03, 7]), load=(curves,), drift=drift)
    page = replace(page, load_notes=(text,))
    reach = Interval(estimate=-0.02, lower=-0.04, upper=0.01, samples=600)
    tasks = (
        TaskBeside(task=text, score=reach, candidate=0.9, difference=reach),
        TaskBeside(task="choose", note=text),
    )
    seen = {"at": "2026-11-03T00:00:00+00:00", "models": (text + "2",), "tasks": tasks, "failure": text}
    beside = Beside(name=text, host=text, model=text, **seen)  # type: ignore[arg-type]
    page = replace(page, beside=(beside,))
    said = with_text(page, text).after("fidelity", Verdict.of([fidelity]))
    return said.after("load", Verdict.of([load])).after(
        "sanity", Verdict.of([finding("layers", message=text)])
    )


@settings(max_examples=40)
@given(st.text(min_size=1))
def test_no_text_changes_the_structure_of_the_page(pages: dict[str, GatePage], text: str) -> None:
    """Whatever models and people write, the elements and what they may do are the same."""
    plain, foreign = (Page(render(full(pages["pass"], said))) for said in ("x", text))
    assert foreign.tags == plain.tags
    assert [name for name, _ in foreign.attributes] == [name for name, _ in plain.attributes]
    assert foreign.values("href") == plain.values("href")


def test_hostile_text_stays_text(pages: dict[str, GatePage]) -> None:
    """Markup and direction marks are shown, not obeyed; letters and emoji are as they are."""
    html = render(full(pages["pass"], HOSTILE + RTL))
    assert "<script" not in html
    assert not {"\x1b", "\u202e"} & {*html}
    assert "\u0645\u0631\u062d\u0628\u0627" in html
    assert any("<script" in words for words in Page(html).words)


def test_what_is_folded_on_a_screen_is_printed(pages: dict[str, GatePage], tmp_path: Path) -> None:
    """Findings and flips take as many sheets as if they were open."""
    folded = render(with_text(pages["fail"], "Who was it?"))
    sheets = printed(folded, tmp_path)
    assert sheets == printed(folded.replace("<details", "<details open"), tmp_path) > 3


@pytest.mark.parametrize(("name", "width", "dark"), [("fail", 400, True), ("pass", 1400, False)])
def test_a_browser_draws_it(
    pages: dict[str, GatePage], tmp_path: Path, name: str, width: int, dark: bool
) -> None:
    """Chromium takes a picture of the page, narrow and wide, light and dark, and it is not blank."""
    page = with_text(full(pages[name], HOSTILE + RTL), HOSTILE + RTL + " ".join(map(str, range(2000))))
    html = render(page).replace("<details", "<details open")
    lines = pictured(html, tmp_path, width=width, height=2400, dark=dark)
    assert len(lines) == 2400
    assert len({*lines}) > 500
