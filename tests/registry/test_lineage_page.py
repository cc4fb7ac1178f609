"""The lineage page: one file, well-formed, nothing to load from elsewhere, and foreign text stays text."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judging.verdict import Outcome
from registry.alias import Alias, Aliases
from registry.counting import Case
from registry.evidence import Evidence
from registry.lineage import Lineage
from registry.lineage_page import draw, render
from registry.lineage_trace import trace
from tests.simulators.history import HOSTILE, evidence_of, move, signed
from tests.simulators.keys import signer_and_trust
from tests.simulators.pages import Page, check_self_contained, pictured
from tests.simulators.records import draft

SIGNER, TRUST = signer_and_trust()
NOW = datetime(2026, 11, 3, tzinfo=UTC)


def lineage(note: str = "all well", quality: Outcome = Outcome.PASS, **changes: str) -> Lineage:
    version = draft(parent="tiny/2", **{"source_uri": f"hf://{note}", **changes}).numbered(3)
    first = move(version, Alias.CANDIDATE, Aliases(), SIGNER, TRUST, why=note, who=note)
    found = [signed(e, SIGNER, TRUST) for e in evidence_of(version, note=note, quality=quality)]
    rescan = Evidence(kind="scan", subject=version.release_digest, facts={"at": "2026-10-01", "note": note})
    missing = {"production": [f"it is not so: {note}"]}
    there = move(version, Alias.STAGING, first.after, SIGNER, TRUST, why=note, who=note, number=2)
    case = Case(version, (*found, rescan, signed(there.evidence, SIGNER, TRUST)), NOW, TRUST)
    return trace(case, None, (first,), first.after, missing)


def test_the_page_needs_nothing_else() -> None:
    """No script, no style sheet, no picture or font from anywhere; every link leads into the page."""
    check_self_contained(Page(render(lineage(), NOW)))


def test_moves_in_another_house_have_a_table_of_their_own() -> None:
    """Beside this house's log, and not among what is said about the version."""
    page = Page(render(lineage(), NOW))
    words = " ".join(page.words)
    here, _, there = words.partition("Alias moves elsewhere")
    assert "Nothing here rests on it" in there
    assert "staging" in there
    assert "evidence-alias-move" not in page.values("id")
    assert "alias-move" not in here


def test_no_two_elements_share_an_id() -> None:
    """Links would lead to the wrong one."""
    ids = Page(render(lineage(), NOW)).values("id")
    assert len(ids) == len({*ids})


def test_the_verdict_comes_first_and_everything_is_there() -> None:
    """Where it stands, then every digest in full, every finding, who moved the alias."""
    shown = lineage(quality=Outcome.FAIL)
    text = " ".join(Page(render(shown, NOW)).words)
    assert text.index("May not be promoted") < text.index("Lineage") < text.index("Evidence")
    assert text.index("it is not so: all well") < text.index("Lineage")
    digests = {str(d) for node in shown.nodes for d in node.digests.values()}
    digests |= {str(e.digest) for e in shown.evidence}
    assert all(digest in text for digest in digests)
    findings = [f.message for e in shown.evidence if e.verdict for f in e.verdict.findings]
    assert all(message in text for message in findings)
    assert "ttft_p99_ms" in text
    assert "0.72" in text


def test_hostile_text_stays_text() -> None:
    """Markup, quotes, escape codes and direction marks are shown, not obeyed."""
    html = render(lineage(HOSTILE), NOW)
    page = Page(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert not {"\x1b", "\u202e"} & {*html}
    assert any("<script" in words for words in page.words)


@settings(max_examples=60)
@given(st.text(min_size=1))
def test_no_text_changes_the_structure_of_the_page(note: str) -> None:
    """Whatever hubs and people write, the elements and what they may do are the same."""
    plain, foreign = Page(render(lineage("x"), NOW)), Page(render(lineage(note), NOW))
    assert foreign.tags == plain.tags
    assert [name for name, _ in foreign.attributes] == [name for name, _ in plain.attributes]
    assert foreign.values("href") == plain.values("href")


def test_the_same_lineage_is_the_same_page() -> None:
    """No clock but the one it is given."""
    shown = lineage()
    assert render(shown, NOW) == render(shown, NOW)


def test_no_two_cards_overlap_and_all_are_on_the_drawing() -> None:
    """However many rollouts there were."""
    drawing = draw(lineage())
    places = [(card.x, card.y) for card in drawing.cards]
    assert all(
        abs(x - other_x) >= 208 or abs(y - other_y) >= 88
        for number, (x, y) in enumerate(places)
        for other_x, other_y in places[number + 1 :]
    )
    assert all(0 <= x <= drawing.width - 208 and 0 <= y <= drawing.height - 88 for x, y in places)


def test_long_facts_are_cut_and_say_so() -> None:
    """A bill of materials of a whole runtime would be most of the page."""
    html = render(lineage("long " * 10_000), NOW)
    assert "more characters are in the record" in html


@pytest.mark.parametrize("note", ["all well", HOSTILE])
def test_a_browser_draws_it(tmp_path: Path, note: str) -> None:
    """Chromium takes a picture of the page, and it is not blank."""
    lines = pictured(render(lineage(note), NOW), tmp_path, width=1400, height=2400)
    assert len(lines) == 2400
    assert len({*lines}) > 500
