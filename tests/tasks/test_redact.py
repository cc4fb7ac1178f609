"""Secrets in text: what is hidden, and what must stay readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.redact import REDACTED, Redactor


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "DB_PASSWORD", "APIKEY", "github_token"],
)
def test_values_of_secret_names_are_hidden(name: str) -> None:
    """A variable is secret by its name."""
    redact = Redactor.of_environment({name: "tr0ub4dor-and-3"})
    assert redact("pull with tr0ub4dor-and-3!") == f"pull with {REDACTED}!"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "parallelism"),
        ("MAX_TOKENS", "4096"),
        ("KEYBOARD_LAYOUT", "us-international"),
    ],
)
def test_names_that_only_look_secret_hide_nothing(name: str, value: str) -> None:
    """Hiding every 4096 would hide the log."""
    assert Redactor.of_environment({name: value})(f"x {value} y") == f"x {value} y"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("token hf_AbCdEfGhIjKlMnOpQrStUv.", f"token {REDACTED}."),
        ("loading hf_transfer", "loading hf_transfer"),
        ("Authorization: Bearer abc.def-123456", f"Authorization: Bearer {REDACTED}"),
        ("--index-url https://me:s3cr3t@index.example/simple", f"--index-url https://me:{REDACTED}@index.example/simple"),
        ("http://127.0.0.1:8000/v1 a@b", "http://127.0.0.1:8000/v1 a@b"),
    ],
)  # fmt: skip
def test_shapes_of_secrets(text: str, expected: str) -> None:
    """Tokens, bearer headers and passwords in URLs are known by their shape."""
    assert Redactor()(text) == expected


def test_each_line_of_a_key_file_is_hidden() -> None:
    """Logs come line by line, so a key must be hidden line by line."""
    redact = Redactor.of_environment({"SIGNING_KEY": "-----BEGIN-----\nMC4CAQAwBQYDK2Vw\n-----END-----\n"})
    assert redact("MC4CAQAwBQYDK2Vw") == REDACTED


@given(st.text(alphabet="abc", min_size=8, max_size=12), st.text(alphabet="abc", min_size=8, max_size=12))
def test_no_secret_survives_even_inside_another(first: str, second: str) -> None:
    """Longest first: a secret that contains another leaves no rest of either."""
    redact = Redactor.of_environment({"A_TOKEN": first, "B_TOKEN": second})
    assert redact(f"{first} {second}") == f"{REDACTED} {REDACTED}"
