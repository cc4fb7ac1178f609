"""The one place that writes files other processes read: whole or not at all, also after kill -9.

Every write goes to a temporary file in the target's own folder, is flushed to disk, and takes its
name in one step; then the folder is flushed. Temporary names begin with ``.tmp-``, so readers that
skip dot files never see one a dead writer left behind. What a file means is left to the callers.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from registry.errors import InfrastructureError

_REASONS = {
    errno.ENOSPC: "free some space there, or set HEADGATE_HOME to a larger disk",
    errno.EDQUOT: "free some of your quota, or set HEADGATE_HOME to another disk",
    errno.EROFS: "set HEADGATE_HOME to a disk that can be written",
}


def write_file(path: Path, data: bytes) -> None:
    """Replace the file's content in one step; creates its folder. Raises InfrastructureError."""
    with _explained(path), temporary_beside(path) as temporary:
        _write_through(temporary, data)
        temporary.replace(path)
        sync_folder(path.parent)


def create_file(path: Path, data: bytes) -> bool:
    """Write the file unless it exists already; returns whether it was written. Raises InfrastructureError."""
    with _explained(path), temporary_beside(path) as temporary:
        if path.exists():
            return False
        _write_through(temporary, data)
        try:
            os.link(temporary, path)  # unlike a rename, a link refuses to replace
        except FileExistsError:
            return False
        sync_folder(path.parent)
        return True


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A fresh name in the same folder as ``path`` (created if missing); a file left under it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".tmp-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Wait for this lock and hold it against every other process and thread; death frees it."""
    with _explained(lock_file):
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Flush a file's content to disk; raises OSError."""
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Flush a folder's list of names to disk; raises OSError."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise cannot_write(path, problem) from problem


def cannot_read(path: Path, problem: OSError) -> InfrastructureError:
    """The error for a read the file system refused, with the reason and what to do about it."""
    return InfrastructureError(
        f"Cannot read {path}",
        why=problem.strerror or str(problem),
        next_step=f"check who owns {path} and its permissions, and that HEADGATE_HOME is what you meant",
    )


def cannot_write(path: Path, problem: OSError) -> InfrastructureError:
    """The error for a write the file system refused, with the reason and what to do about it."""
    return InfrastructureError(
        f"Cannot write {path}",
        why=problem.strerror or str(problem),
        next_step=_REASONS.get(problem.errno or 0, f"check who owns {path.parent} and its permissions"),
    )
