"""Models from a folder of this machine, which may be edited at any time: what is taken is a copy.

A folder has no commits: its content is its name, so it is read once to be named, and once to be copied.
The copy shares nothing with the folder, and is compared with what was named: an edit in between is noticed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from registry.atomic import cannot_read
from registry.errors import HeadgateError, InfrastructureError, Refused, UsageError
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Checksum, TooLong, hashes_of
from tasks.disk import in_words
from tasks.progress import StageProgress
from tasks.source import Listing, SourceFile, check_revision, content_commit, worth_reading
from tasks.source_address import folder_of

_READ_SIZE = 1 << 20


class FolderSource:
    """``file:///FOLDER`` or a path: the files in it, without those in its subfolders.

    Raises UsageError for a malformed address. Its methods raise UsageError (no such folder, not allowed),
    InfrastructureError (the disk) or Refused (symbolic links, and what is no regular file).
    """

    def __init__(self, uri: str) -> None:
        self._folder = folder_of(uri)
        self._uri = self._folder.as_uri()

    def resolve(self, revision: str, progress: StageProgress) -> Listing:
        """What is in the folder now, named by its content."""
        where = str(self._folder)
        sizes, links = self._sizes()
        wanted = worth_reading(list(sizes), where, links)
        heard = _Reading(sum(sizes[path] for path in wanted), where, progress)
        files = tuple(
            SourceFile(path, size, self._checksum(path, size, heard) if path in wanted else None)
            for path, size in sizes.items()
        )
        commit = content_commit(file for file in files if file.checksum)
        check_revision(revision, commit, where)
        return Listing(self._uri, revision, commit, files, where, links)

    def pull(self, listing: Listing, file: SourceFile, out: ArrivingFile) -> None:
        """Copy the rest of the file."""
        del listing
        path = self._folder / file.path
        try:
            source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as problem:
            raise _unreadable(path, problem) from problem
        with os.fdopen(source, "rb", buffering=0) as opened:
            opened.seek(out.tell())
            while chunk := _read(opened.read, path):
                out.write(chunk)

    def _sizes(self) -> tuple[dict[str, int], tuple[str, ...]]:
        """The bytes of every regular file, and the symbolic links."""
        try:
            entries = sorted(os.scandir(self._folder), key=lambda entry: entry.name)
            found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
        except OSError as problem:
            raise _unreadable(self._folder, problem) from problem
        for name, status in found.items():
            if not (
                stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode)
            ):
                raise _no_file(self._folder, name)
        links = tuple(name for name, status in found.items() if stat.S_ISLNK(status.st_mode))
        return {n: s.st_size for n, s in found.items() if stat.S_ISREG(s.st_mode)}, links

    def _checksum(self, path: str, size: int, heard: Callable[[int], None]) -> Checksum:
        try:
            return Checksum("sha256", hashes_of(self._folder / path, size, None, heard).sha256)
        except OSError as problem:
            raise _unreadable(self._folder / path, problem) from problem
        except TooLong:
            raise InfrastructureError(
                f"{self._folder / path} grew while it was read",
                next_step="run the same command again when nobody writes to the folder",
            ) from None


class _Reading:
    """Tells how far the reading is, at most a hundred times."""

    def __init__(self, total: int, where: str, progress: StageProgress) -> None:
        self._total, self._where, self._progress = max(total, 1), where, progress
        self._done = self._told = 0

    def __call__(self, count: int) -> None:
        self._done += count
        if self._done - self._told >= self._total / 100:
            self._told = self._done
            words = f"reading {self._where}: {in_words(self._done)} of {in_words(self._total)}"
            self._progress(words, self._done / self._total)


def _read(read: Callable[[int], bytes], path: Path) -> bytes:
    # Told apart from a disk that cannot be written, which is the caller's to explain.
    try:
        return read(_READ_SIZE)
    except OSError as problem:
        raise cannot_read(path, problem) from problem


def _unreadable(path: Path, problem: OSError) -> HeadgateError:
    if isinstance(problem, FileNotFoundError | NotADirectoryError):
        return UsageError(
            f"There is no {'folder' if isinstance(problem, NotADirectoryError) else 'file or folder'} {path}",
            why="it is the model's source, or was a moment ago",
            next_step="correct model.uri: a relative path counts from the spec's folder",
        )
    if isinstance(problem, PermissionError):
        return UsageError(
            f"{path} may not be read by this user",
            next_step="have its owner allow it, or name another folder",
        )
    return cannot_read(path, problem)


def _no_file(folder: Path, name: str) -> Refused:
    return Refused(
        f"{folder} has {name!a}, which is no file, folder or link",
        why="a device or a pipe gives other bytes each time it is read",
        next_step="remove it, or name another folder",
    )
