"""Checksums of files: what a source says a content is, and what it is found to be while it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_READ_SIZE = 1 << 20
_DIGITS = {"sha256": 64, "git-sha1": 40, "md5": 32}

Algorithm = Literal["sha256", "git-sha1", "md5"]
"""What sources name content by; ``git-sha1`` is that of the git object, a header with the size before it."""


@dataclass(frozen=True)
class Checksum:
    """What a source says a file's content is: sha256, sha1 of the git object, or md5, in lower-case hex.

    Where a source knows the file only inside something else, a tar layer, the checksum is of that: of the
    bytes ``before`` it, the file, and the bytes ``after``.
    """

    algorithm: Algorithm
    value: str
    before: bytes = b""
    after: bytes = b""

    def __post_init__(self) -> None:
        if len(self.value) != _DIGITS[self.algorithm] or not set(self.value) <= set("0123456789abcdef"):
            raise ValueError(f"{self.value!r} is no {self.algorithm}")

    @property
    def is_plain_sha256(self) -> bool:
        """Whether it is the digest that the blob store keeps the file by."""
        return self.algorithm == "sha256" and not (self.before or self.after)

    def __str__(self) -> str:
        of = " with what is around it" if self.before or self.after else ""
        return f"{self.algorithm}:{self.value}{of}"


class TooLong(Exception):
    """More bytes came than the file has."""


class Damaged(Exception):
    """All bytes came, and a checksum that the service itself sent along is not theirs."""

    def __init__(self, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        super().__init__(expected, found)


class Hashes:
    """The sha256 of up to ``size`` bytes while they come, and a source's ``wanted`` checksum of them."""

    def __init__(self, size: int, wanted: Checksum | None) -> None:
        self._size = size
        self._wanted = None if wanted and wanted.is_plain_sha256 else wanted
        self._sha256 = hashlib.sha256()
        self._other = _begun(self._wanted, size) if self._wanted else None
        self.length = 0

    def update(self, data: bytes) -> None:
        """Take these bytes; raises TooLong."""
        if self.length + len(data) > self._size:
            raise TooLong
        self._sha256.update(data)
        if self._other:
            self._other.update(data)
        self.length += len(data)

    @property
    def sha256(self) -> str:
        """The sha256 so far, in hex."""
        return self._sha256.hexdigest()

    @property
    def found(self) -> str:
        """What the wanted checksum is so far, in hex; the sha256 where none is wanted."""
        if self._wanted is None or self._other is None:
            return self.sha256
        ended = self._other.copy()
        ended.update(self._wanted.after)
        return str(ended.hexdigest())


def hashes_of(path: Path, size: int, wanted: Checksum | None, heard: Callable[[int], None]) -> Hashes:
    """The hashes of a file that is there; raises TooLong or OSError. ``heard`` is told of bytes read."""
    hashes = Hashes(size, wanted)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_READ_SIZE):
            hashes.update(chunk)
            heard(len(chunk))
    return hashes


def _begun(wanted: Checksum, size: int) -> Any:
    if wanted.algorithm == "git-sha1":
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    if wanted.algorithm == "md5":
        return hashlib.md5(wanted.before, usedforsecurity=False)
    return hashlib.sha256(wanted.before)
