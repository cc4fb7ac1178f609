"""JSON from strangers: one meaning, or none."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.strict_json import read_strictly, shown

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_plain_json_is_read_as_ever(value: object) -> None:
    """Infinity too: configurations of known architectures have it. So are pairs of escapes, as of emoji."""
    assert read_strictly(json.dumps(value).encode()) == value
    assert read_strictly(rb'"\ud83d\ude00"') == "\U0001f600"


@given(st.binary(max_size=200))
def test_anything_else_is_a_reason(data: bytes) -> None:
    """Never another error."""
    with suppress(ValueError):
        read_strictly(data)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b'{"a": 1, "a": 1}', "'a' is given twice"),
        (b'{"b": {"a": 1, "a": 2}}', "'a' is given twice"),
        (b'{"a": NaN}', "NaN"),
        (b"\xff\xfe{\x00}\x00", "UTF-8"),
        (b"[" * 70 + b"]" * 70, "64 levels"),
        (b"[" * 1_000_000, "64 levels"),
        (b"9" * 101, "101 digits"),
        (b'{"a": }', "line 1, column 7"),
        (b"", "line 1"),
        (b'{"a": ["\\uD800"]}', "half a character"),
        (b'{"\\udcff": 1}', "half a character"),
    ],
)
def test_doubtful_json_is_refused_with_its_reason(data: bytes, word: str) -> None:
    """Two readers could take it for two things, or fall over it."""
    with pytest.raises(ValueError, match=word):
        read_strictly(data)


def test_a_wrong_value_is_shown_short_and_printable() -> None:
    """It goes into a message on a terminal."""
    assert shown("\x1b[2J") == r"'\x1b[2J'"
    assert shown(["x" * 100]).endswith("...")
