"""What a quantization is asked to do: a value that a version's record keeps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

METHODS: Mapping[str, int] = {"awq": 4, "gptq": 4, "w8a8": 8}
"""The methods there are, and the bits of a weight in each."""

GROUPED = frozenset({"awq", "gptq"})
"""Methods with a scale for each group of input channels; the others have one for each output channel."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to quantize. ``engine`` may be ``auto`` until one is chosen.

    ``group_size`` counts input channels that share a scale, ``zero_point`` says if they share an offset too:
    both None where the method has no groups. ``ignore`` names layers that stay as they are, by name or by
    ``re:`` and a pattern. ``calibration`` is where the texts are, or their digest once they were read;
    ``samples`` of them are used, each cut to ``sequence_length`` tokens.
    """

    engine: str
    method: str
    bits: int
    group_size: int | None
    zero_point: bool | None
    ignore: tuple[str, ...]
    calibration: str
    samples: int
    sequence_length: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values, without what the method does not have."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["ignore"] = list(self.ignore)
        return {name: value for name, value in plain.items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read a mapping written by ``to_json``, or by a release of 0.1, which knew AWQ alone.

        Raises KeyError or TypeError for anything else.
        """
        before = {"method": "awq", "ignore": (), "group_size": None, "zero_point": None}
        known = {field.name for field in fields(cls)}
        values = {**before, **value}
        if values.keys() - known:
            raise TypeError(f"not part of a recipe: {sorted(values.keys() - known)}")
        return cls(**{**values, "ignore": tuple(values["ignore"])})

    def __str__(self) -> str:
        groups = f", groups of {self.group_size}" if self.group_size else ""
        offset = ", zero points" if self.zero_point else ""
        return f"{self.method}, {self.bits} bits{groups}{offset}, by {self.engine}"
