"""Movable names for immutable versions, per model and GPU class: candidate, staging, production. Pure.

``production`` and ``previous`` are one value, so they never disagree, and rolling back needs nothing
else. How moves are recorded is ``alias_log``'s; which evidence allows one is ``policy``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any


class Alias(StrEnum):
    """The names that can be moved, in the order a version earns them."""

    CANDIDATE = "candidate"
    STAGING = "staging"
    PRODUCTION = "production"


@dataclass(frozen=True)
class Aliases:
    """Version numbers: what was released last, what is proven, what is live, and what was live before it.

    Raises ValueError for anything that is no version number.
    """

    candidate: int | None = None
    staging: int | None = None
    production: int | None = None
    previous: int | None = None

    def __post_init__(self) -> None:
        for name, number in self.to_json().items():
            if number is not None and (type(number) is not int or number < 1):
                raise ValueError(f"{name} is no version number: {number!r}")

    def at(self, alias: Alias) -> int | None:
        """The number this alias points at."""
        return {
            Alias.CANDIDATE: self.candidate,
            Alias.STAGING: self.staging,
            Alias.PRODUCTION: self.production,
        }[alias]

    def names(self, number: int) -> list[str]:
        """Everything that points at this number: ``candidate``, ``previous``."""
        return [name for name, pointed in self.to_json().items() if pointed == number]

    def to_json(self) -> dict[str, int | None]:
        """A mapping of plain values that ``from_json`` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Aliases:
        """Read a mapping written by ``to_json``; raises KeyError, TypeError or ValueError otherwise."""
        return cls(**{field.name: value[field.name] for field in fields(cls)})


def moved(aliases: Aliases, alias: Alias, number: int) -> Aliases:
    """The aliases after one moved; what was live becomes ``previous``.

    A move to where the alias is already changes nothing, so it can be repeated after a crash. Moving
    ``production`` to ``previous`` is how production goes back.
    """
    if aliases.at(alias) == number:
        return aliases
    if alias is Alias.PRODUCTION:
        return replace(aliases, production=number, previous=aliases.production)
    return replace(aliases, **{str(alias): number})
