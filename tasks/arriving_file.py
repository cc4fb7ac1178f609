"""A file that is being written by a download: hashed as it grows, so that nothing is read twice.

The hub's client writes into any file object, so hashing needs no second pass over the disk. Half a file that
a killed run left is hashed once and gone on with.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from tasks.checksum import Checksum, Hashes, TooLong, hashes_of


class ArrivingFile:
    """The file at ``path`` while it grows to ``size`` bytes; a context manager.

    ``heard`` is told of bytes that are there (negative when they are given up), and may raise to end the
    download. ``write`` raises TooLong, and OSError when the disk refuses.
    """

    def __init__(self, path: Path, size: int, wanted: Checksum | None, heard: Callable[[int], None]) -> None:
        self._path, self._size, self._wanted, self._heard = path, size, wanted, heard
        self.hashes = Hashes(size, wanted)

    def __enter__(self) -> ArrivingFile:
        self._file = self._alone()
        try:
            self.hashes = hashes_of(self._path, self._size, self._wanted, self._heard)
        except TooLong:
            self._file.truncate(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        """Append these bytes."""
        self.hashes.update(data)
        self._heard(len(data))  # first: what was told to stop must not write
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        return len(data)

    def tell(self) -> int:
        """How many bytes are there."""
        return self.hashes.length

    def seek(self, offset: int) -> int:
        """To the beginning only, as a client does that has to begin again: what is there is given up."""
        if offset != 0:
            raise ValueError("a file that is being hashed can only begin again")
        self.restart()
        return 0

    def truncate(self) -> int:
        """Cut what is beyond the end: nothing ever is."""
        return self.tell()

    def restart(self) -> None:
        """Give up what is there."""
        self._heard(-self.hashes.length)
        self._file.truncate(0)
        self.hashes = Hashes(self._size, self._wanted)

    def _alone(self) -> BinaryIO:
        """The file, locked: a transfer that was told to stop may take a while to notice."""
        while True:
            file = self._path.open("ab", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX)  # given up when it is closed
            if is_at(self._path, file.fileno()):
                return cast("BinaryIO", file)
            file.close()  # who had it has finished it, or thrown it away


def is_at(path: Path, descriptor: int) -> bool:
    """Whether what is open is still what the path names: who waited for its lock has to ask."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
