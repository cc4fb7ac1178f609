"""Foreign text: what is shown of it can be seen, and steers nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.plain_text import one_line, plain


@pytest.mark.parametrize("text", ["", "hf://acme/tiny", "größer als 3 °C", "两行\nand a\ttab", "{% if x %}"])
def test_what_can_be_seen_stays(text: str) -> None:
    """Other languages and line breaks are no danger."""
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J gone", "\\x1b[2J gone"),
        ("over\rwritten", "over\\x0dwritten"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\U000e0041tag", "\\U000e0041tag"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_cannot_is_spelt_out(text: str, shown: str) -> None:
    """Escape codes clear screens, direction marks turn names around, lone surrogates cannot be written."""
    assert plain(text) == shown


@given(st.text())
def test_everything_shown_can_be_printed(text: str) -> None:
    """Whatever comes in, what goes out is printable, and again is no change."""
    shown = plain(text)
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    assert plain(shown) == shown


@given(st.text(), st.integers(1, 40))
def test_one_line_is_one_line(text: str, longest: int) -> None:
    """It never exceeds its place in a drawing."""
    line = one_line(text, longest)
    assert len(line) <= longest
    assert "\n" not in line
