"""The token: from the environment, as it comes out of files and secrets, and never shown."""

from __future__ import annotations

import pytest

from registry.errors import UsageError
from tasks.hub_token import hub_token


@pytest.mark.parametrize("value", ["hf_abcdefgh", "hf_abcdefgh\n", "  hf_abcdefgh \r\n"])
def test_a_token_is_taken_without_the_line_break_around_it(value: str) -> None:
    """What a file or a secret ends with is no part of it."""
    assert hub_token({"HF_TOKEN": value}, None) == "hf_abcdefgh"


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_token_is_none(value: str) -> None:
    """As if it were not set."""
    assert hub_token({"HF_TOKEN": value}, None) is None
    assert hub_token({}, None) is None


@pytest.mark.parametrize("value", ["hf_abc def", "hf_abc\nhf_def", "hf_äbc", "hf_a\x00b"])
def test_what_is_no_token_is_refused_and_not_shown(value: str) -> None:
    """A header could not hold it, and an HTTP library would print it."""
    with pytest.raises(UsageError) as refused:
        hub_token({"HF_TOKEN": value}, None)
    assert "HF_TOKEN" in str(refused.value)
    assert "hf_" not in str(refused.value)
