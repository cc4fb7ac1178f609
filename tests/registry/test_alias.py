"""Aliases as values: what a move does to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.alias import Alias, Aliases, moved

_NUMBERS = st.none() | st.integers(1, 4)
_ALIASES = st.builds(Aliases, _NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS)


def test_promoting_remembers_what_was_live() -> None:
    """Production and previous move together; candidate and staging stay."""
    assert moved(Aliases(2, 2, 1), Alias.PRODUCTION, 2) == Aliases(2, 2, 2, 1)


@given(_ALIASES, st.sampled_from(Alias), st.integers(1, 4))
def test_a_repeated_move_changes_nothing(aliases: Aliases, alias: Alias, number: int) -> None:
    """So it can be repeated after a crash: production never becomes its own predecessor by it."""
    once = moved(aliases, alias, number)
    assert once.at(alias) == number
    assert moved(once, alias, number) == once


@given(_ALIASES, st.integers(1, 4))
def test_going_back_is_promoting_previous(aliases: Aliases, number: int) -> None:
    """From any state, promoting previous makes live again what was live before."""
    forward = moved(aliases, Alias.PRODUCTION, number)
    if forward != aliases and forward.previous is not None:
        back = moved(forward, Alias.PRODUCTION, forward.previous)
        assert (back.production, back.previous) == (aliases.production, number)


@given(_ALIASES)
def test_aliases_read_back_as_they_were(aliases: Aliases) -> None:
    """Through plain values."""
    assert Aliases.from_json(aliases.to_json()) == aliases


@pytest.mark.parametrize("number", [0, -1, True, 1.0, "1"])
def test_an_alias_is_a_version_number(number: Any) -> None:
    """A truth value or a text that looks like one is damage."""
    with pytest.raises(ValueError, match="production is no version number"):
        Aliases(production=number)


def test_the_names_of_a_version() -> None:
    """Everything that points at it, previous too."""
    assert Aliases(2, 1, 2, 1).names(2) == ["candidate", "production"]
    assert Aliases(2, 1, 2, 1).names(1) == ["staging", "previous"]
