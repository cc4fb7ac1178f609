"""People are told what is wrong with data, not what Python calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.data_errors import worded

_NOTHING: Any = None


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda: json.loads(b"{"), "it is not JSON: Expecting property name"),
        (lambda: json.loads(b"\xff\xfe\xfd"), "it is not UTF-8 text: "),
        (lambda: json.loads(b"{}")["format"], "it has no 'format'"),
        (lambda: json.loads("[" * 99_999), "it is nested too deeply"),
        (lambda: _NOTHING["format"], "it has not the form it should have"),
        (lambda: _NOTHING.get("format"), "it has not the form it should have"),
        (lambda: _NOTHING.nothing, "it has not the form it should have"),
        (lambda: int("x"), "invalid literal for int"),
        (lambda: Path("/nowhere").read_bytes(), "No such file or directory"),
    ],
)
def test_a_problem_is_told_in_words(read: Callable[[], object], says: str) -> None:
    """No class names, no quoted key alone, no attributes of None."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any: its words are looked at
        read()
    assert worded(caught.value).startswith(says)
