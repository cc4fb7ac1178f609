"""Reads a file that a person named, and nothing that is none: a pipe is waited for, a device never ends."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def read_regular(path: Path, most: int | None = None) -> bytes:
    """The bytes of a regular file, of at most so many; raises OSError for any other, saying what it is."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")
    if most is not None and found.st_size > most:
        raise OSError(errno.EFBIG, f"it has {found.st_size} bytes, and {most} are the most that is read")
    return path.read_bytes()
