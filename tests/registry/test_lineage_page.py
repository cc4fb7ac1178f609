"""The lineage page: one file, well-formed, nothing to load from elsewhere, and foreign text stays text."""

from __future__ import annotations

import re
import subprocess
import zlib
from datetime import UTC, datetime
from html.parser import HTMLParser
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
from tests.simulators.programs import need_program
from tests.simulators.records import draft

SIGNER, TRUST = signer_and_trust()
NOW = datetime(2026, 11, 3, tzinfo=UTC)
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.styles: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.styles if self._open[-1:] == ["style"] else self.words).append(data)

    def values(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


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
    page = Page(render(lineage(), NOW))
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {*page.tags}
    assert page.values("src") == []
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = page.values("href")
    assert {link[0] for link in links} == {"#"}
    assert {link[1:] for link in links} <= {*page.values("id")}
    assert not re.search(r"url\(|@import|//", "".join(page.styles))
    assert any("default-src 'none'" in value for value in page.values("content"))


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


@settings(deadline=None, max_examples=60)
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


def scanlines(png: bytes) -> list[bytes]:
    """The lines of a picture of 8-bit RGB or RGBA, filtered as PNG stores them."""
    width, channels = int.from_bytes(png[16:20]), {2: 3, 6: 4}[png[25]]
    data, at = b"", 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    lines, length = zlib.decompress(data), 1 + width * channels
    return [lines[i : i + length] for i in range(0, len(lines), length)]


@pytest.mark.parametrize("note", ["all well", HOSTILE])
def test_a_browser_draws_it(tmp_path: Path, note: str) -> None:
    """Chromium takes a picture of the page, and it is not blank."""
    chromium = need_program("chromium")
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    page.write_text(render(lineage(note), NOW), encoding="utf-8")
    quiet = ("sandbox", "first-run", "default-browser-check")
    off = ("gpu", "quic", "background-networking", "component-update", "sync", "dev-shm-usage")
    flags = ["--headless", *(f"--no-{name}" for name in quiet), *(f"--disable-{name}" for name in off)]
    where = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,2400", f"--screenshot={picture}"]
    subprocess.run([chromium, *flags, *where, page.as_uri()], check=True, capture_output=True, timeout=120)
    lines = scanlines(picture.read_bytes())
    assert len(lines) == 2400
    assert len({*lines}) > 500
