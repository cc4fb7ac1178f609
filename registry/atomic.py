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
from contextlib import AbstractContextManager
from pathlib import Path

from registry.errors import InfrastructureError

_REASONS = {
    errno.ENOSPC: "free some space there, or set HEADGATE_HOME to a larger disk",
    errno.EDQUOT: "free some of your quota, or set HEADGATE_HOME to another disk",
    errno.EROFS: "set HEADGATE_HOME to a disk that can be written",
}


def write_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace the file's content in one step; creates its folder. Raises InfrastructureError.

    ``mode`` holds from the first byte on, less the process's umask: 0o600 for what is secret.
    """
    with explained(path), temporary_beside(path) as temporary:
        _write_through(temporary, data, mode)
        temporary.replace(path)
        sync_folder(path.parent)


def create_file(path: Path, data: bytes, mode: int = 0o666) -> bool:
    """Write the file unless it exists already; returns whether it was written. Raises InfrastructureError."""
    with explained(path), temporary_beside(path) as temporary:
        if path.exists():
            return False
        _write_through(temporary, data, mode)
        try:
            os.link(temporary, path)  # unlike a rename, a link refuses to replace
        except FileExistsError:
            # A network file system may carry a link out, lose its answer, and refuse its own repetition.
            if temporary.stat().st_nlink == 1:
                return False
        sync_folder(path.parent)
        return True


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A fresh name in the same folder as ``path`` (created if missing); a file left under it is removed."""
    make_folder(path.parent)
    temporary = path.parent / f".tmp-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def may_write(folder: Path) -> bool:
    """Whether the system lets this process make files in a folder that is there."""
    return os.access(folder, os.W_OK)


def make_folder(path: Path) -> None:
    """Create the folder and those above it, flushed to disk, unless they exist; raises OSError."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def exclusive(lock_file: Path) -> AbstractContextManager[None]:
    """Wait for this lock and hold it against every other process and thread; death frees it."""
    return _held(lock_file, fcntl.LOCK_EX)


def shared(lock_file: Path) -> AbstractContextManager[None]:
    """Wait for this lock and hold it against whoever wants it ``exclusive``; death frees it."""
    return _held(lock_file, fcntl.LOCK_SH)


@contextlib.contextmanager
def _held(lock_file: Path, kind: int) -> Iterator[None]:
    with explained(lock_file):
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, kind)
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


def _write_through(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raises InfrastructureError instead of an OSError of the block, which writes ``path``."""
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
