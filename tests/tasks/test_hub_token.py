"""The token: from the environment, as it comes out of files and secrets, and never shown."""

from __future__ import annotations

import socket

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from registry.errors import InfrastructureError, UsageError
from tasks.hub_token import hub_token
from tasks.secret_value import secret_of


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


def test_a_secret_behind_a_server_that_is_down_is_told() -> None:
    """It is Prefect's trouble, and no mistake in the spec."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}), pytest.raises(InfrastructureError) as caught:
            secret_of("gated", named_by="model.token_secret", instead="leave it out")
    assert "The Prefect Secret 'gated' cannot be read" in str(caught.value)
    assert "see whether the Prefect server answers" in caught.value.next_step
