"""Pins: what ships is complete, and what has no hash is refused."""

from __future__ import annotations

import pytest

from images.pins import load_pins, parse_pins
from registry.errors import UsageError

_GOOD = f'[[trivy]]\nversion = "1.2.3"\nsha256 = "{"a" * 64}"\norigin = "somewhere"\n'


def test_the_shipped_pins_are_complete() -> None:
    """The version of the `scan` extra is among them."""
    assert "0.76.0" in load_pins().trivy_versions


def test_releases_known_to_be_malicious_are_not_allowed() -> None:
    """CVE-2026-33634."""
    assert not {"0.69.4", "0.69.5", "0.69.6"} & set(load_pins().trivy_versions)


@pytest.mark.parametrize("key", ["version", "sha256", "origin"])
def test_an_entry_without_one_of_its_values_is_named(key: str) -> None:
    """A version alone can be put on any file."""
    text = "\n".join(line for line in _GOOD.splitlines() if not line.startswith(key))
    with pytest.raises(UsageError, match=rf"trivy\[1\] has no {key}"):
        parse_pins(_GOOD + text)


@pytest.mark.parametrize(
    "text", ["", "trivy = 1", "trivy = [1]", "[[trivy", _GOOD.replace("a" * 64, "a" * 63)]
)
def test_damaged_pins_are_refused(text: str) -> None:
    """Also with a digit of a hash missing."""
    with pytest.raises(UsageError, match=r"images/pins\.toml"):
        parse_pins(text)
