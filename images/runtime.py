"""What weights run on: the distributions of the engine's environment, and one digest over them. Pure.

Until runtime images exist this digest stands where an image's digest will: it changes when any installed
file does, and not with the folder or the machine it was installed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from registry.digest import Digest


@dataclass(frozen=True, order=True)
class Distribution:
    """An installed distribution. ``content`` is a digest over its files; the name is normalized."""

    name: str
    version: str
    content: Digest

    def __post_init__(self) -> None:
        if not self.name or not self.version:
            raise ValueError(f"a distribution needs a name and a version: {self.name!r} {self.version!r}")
        object.__setattr__(self, "name", normalize(self.name))


@dataclass(frozen=True)
class Runtime:
    """All distributions of an environment, in the order of their names whatever order they were found in."""

    distributions: tuple[Distribution, ...]

    def __post_init__(self) -> None:
        if not self.distributions:
            raise ValueError("a runtime without any distribution runs nothing")
        ordered = tuple(sorted(self.distributions))
        twice = [a.name for a, b in pairwise(ordered) if a.name == b.name]
        if twice:
            raise ValueError(f"installed twice: {', '.join(twice)}")
        object.__setattr__(self, "distributions", ordered)

    @property
    def digest(self) -> Digest:
        """The runtime's identity."""
        return Digest.of_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        found = [
            {"name": d.name, "version": d.version, "content": str(d.content)} for d in self.distributions
        ]
        return {"distributions": found}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Runtime:
        """Read a mapping written by ``to_json``; raises KeyError, TypeError or ValueError otherwise."""
        found = value["distributions"]
        return cls(tuple(Distribution(d["name"], d["version"], Digest.parse(d["content"])) for d in found))


def normalize(name: str) -> str:
    """A distribution's name as the package index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
