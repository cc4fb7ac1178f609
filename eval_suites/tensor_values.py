"""What a look at some of a tensor's numbers says: whether they are numbers, positive, not all one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TYPES = {"F16": "<f2", "F32": "<f4", "BF16": "<u2", "I8": "i1", "I32": "<i4"}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How many numbers were looked at, and what of them: NaN or infinite, negative, zero; least and largest.

    ``alike`` is whether all of them are the same.
    """

    count: int
    no_numbers: int
    negative: int
    zero: int
    least: float
    largest: float

    @property
    def alike(self) -> bool:
        """Whether all were the same number."""
        return not self.no_numbers and self.least == self.largest


def look_at(dtype: str, pieces: Iterable[bytes]) -> Sample:
    """What is in these pieces of a tensor; raises KeyError for a type that no scale or packed weight has."""
    values = np.concatenate([_numbers(dtype, piece) for piece in pieces])
    finite = values[np.isfinite(values)]
    return Sample(
        count=values.size,
        no_numbers=values.size - finite.size,
        negative=int((finite < 0).sum()),
        zero=int((finite == 0).sum()),
        least=float(finite.min(initial=np.inf)),
        largest=float(finite.max(initial=-np.inf)),
    )


def _numbers(dtype: str, data: bytes) -> NDArray[np.float64]:
    raw = np.frombuffer(data, _TYPES[dtype])
    if dtype == "BF16":  # the upper half of a float32
        raw = (raw.astype("<u4") << 16).view("<f4")
    return raw.astype(np.float64)
