"""Files by their content, each on disk once: hard links in from work folders, hard links out to load from.

A blob shares its data with the file it came from and with every folder made of it. So a file handed
in must not be changed in place afterwards, and folders handed out are to be read, not edited.

A blob's time of change says when it was last claimed: taken in, linked out, or wanted again; a folder's
says when it was last asked for. Claims and removals exclude each other, so whoever claims a blob before
it names it in a record never loses it to garbage collection, which removes only what was last claimed
before it, and every run that is still alive, began (``sweep``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from registry.atomic import exclusive, explained, shared, sync_file, sync_folder, temporary_beside
from registry.digest import Digest
from registry.errors import InfrastructureError
from registry.manifest import Manifest, ManifestEntry

_MODE = 0o644
# Another disk, a link the kernel forbids (somebody else's file), or too many links: copy instead.
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP}


class BlobStore:
    """Blobs under ``root/sha256/<hex>``; the folder is created at the first write."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = root / ".lock"

    def path(self, digest: Digest) -> Path:
        """Where this blob is, or would be."""
        return self._root / "sha256" / digest.hex

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here now; ``claim`` it to use it later."""
        return self.path(digest).is_file()

    def claim(self, digests: Iterable[Digest]) -> bool:
        """Whether all these blobs are here; then they stay, as long as this run lives or records name them.

        Raises InfrastructureError when the disk refuses.
        """
        paths = {self.path(digest) for digest in digests}
        with shared(self._lock), explained(self._root):
            if not all(path.is_file() for path in paths):
                return False
            for path in paths:
                touch(path)
        return True

    def open(self, digest: Digest) -> BinaryIO:
        """The blob's bytes; InfrastructureError when it is not here."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as problem:
            raise InfrastructureError(
                f"Blob {digest} is missing from {self._root}",
                why="it was removed after the record that names it was written",
                next_step="release again from the source: the missing file is fetched or made once more",
            ) from problem

    def add_file(self, path: Path, digest: Digest | None = None) -> Digest:
        """Take a file in by hard link (by copy from another disk), claimed, and return its digest.

        A digest that is passed is believed: whoever fetched or wrote the file has just computed it.
        """
        source = path.resolve(strict=True)  # link(2) would link a symbolic link itself
        digest = digest or Digest.of_file(source)
        target = self.path(digest)
        with explained(target):
            if not target.is_file():
                sync_file(source)
            with shared(self._lock):
                if not target.is_file():
                    _place(source, target)
                    sync_folder(target.parent)
                touch(target)
        return digest

    def add_tree(self, folder: Path, paths: Iterable[str] | None = None) -> Manifest:
        """Take in every file below the folder, or these relative paths, and say what they are."""
        chosen = paths if paths is not None else _files_below(folder)
        sizes = {path: (folder / path).stat().st_size for path in chosen}
        return Manifest({p: ManifestEntry(self.add_file(folder / p), size) for p, size in sizes.items()})

    def link(self, digest: Digest, target: Path) -> None:
        """Let ``target`` be this blob, claimed: by hard link, else by copy; what is there stays."""
        with shared(self._lock), explained(target):
            _place(self.path(digest), target)
            touch(self.path(digest))

    def link_tree(self, manifest: Manifest, target: Path) -> Path:
        """Make ``target`` a folder of exactly these files, or leave it when it is one already; claimed.

        It appears whole under its name, in one rename. Raises InfrastructureError for a missing blob.
        """
        with exclusive(self._lock), explained(target):
            if not _holds(target, manifest):
                for entry in manifest.files.values():
                    self.open(entry.digest).close()
                self._build_tree(manifest, target)
            for entry in manifest.files.values():
                with contextlib.suppress(FileNotFoundError):  # the folder holds the data as well
                    touch(self.path(entry.digest))
            touch(target)
        return target

    def missing(self, manifest: Manifest) -> list[str]:
        """The paths of those files whose blobs are not here: garbage collection took them."""
        return [path for path, entry in manifest.files.items() if not self.has(entry.digest)]

    def digests(self) -> Iterator[Digest]:
        """Every blob that is here, in no order."""
        with contextlib.suppress(FileNotFoundError):
            for path in (self._root / "sha256").iterdir():
                with contextlib.suppress(ValueError):
                    yield Digest(path.name)

    def now(self) -> float:
        """The time claims are dated by, in seconds since the epoch: the file system's own."""
        with shared(self._lock), explained(self._lock):
            touch(self._lock)
            return self._lock.stat().st_mtime

    def discard(self, digest: Digest, before: float) -> int:
        """Remove the blob unless it was claimed at ``before`` (seconds since the epoch) or later.

        Returns the bytes that became free: none while another link holds the data, or when it is not here.
        """
        path = self.path(digest)
        with exclusive(self._lock), explained(path):
            return erase(path) if changed(path) < before else 0

    def discard_tree(self, folder: Path, before: float) -> int:
        """Remove a folder made by ``link_tree`` as ``discard`` does a blob: it goes whole, or not at all."""
        with explained(folder), temporary_beside(folder) as aside:
            with exclusive(self._lock):
                if changed(folder) >= before:
                    return 0
                folder.rename(aside)
            return erase(aside)

    def _build_tree(self, manifest: Manifest, target: Path) -> None:
        with temporary_beside(target) as holder:
            (holder / "new").mkdir(parents=True)
            try:
                for path, entry in manifest.files.items():
                    _place(self.path(entry.digest), holder / "new" / path)
                if target.exists():
                    target.rename(holder / "old")
                (holder / "new").rename(target)
            finally:
                shutil.rmtree(holder)
        sync_folder(target.parent)


def changed(path: Path) -> float:
    """When a file or a folder's list of names changed, or was claimed: seconds since the epoch.

    Infinity for what is not there (any more): there is nothing to be done about it.
    """
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")


def touch(path: Path) -> None:
    """Claim a file or a folder, by setting its time of change; raises OSError."""
    os.utime(path)


def erase(path: Path) -> int:
    """Remove a file or a folder and return the bytes that became free; raises OSError.

    A file's bytes become free with its last link.
    """
    if path.is_dir() and not path.is_symlink():
        freed = sum([erase(inner) for inner in sorted(path.iterdir())])
        path.rmdir()
        return freed
    try:
        found = path.lstat()
        path.unlink()
    except FileNotFoundError:
        return 0
    return found.st_size if found.st_nlink == 1 else 0


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.chmod(_MODE)
        os.link(source, target)
    except FileExistsError:
        return
    except OSError as problem:
        if problem.errno not in _CANNOT_LINK:
            raise
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    with temporary_beside(target) as temporary:
        shutil.copyfile(source, temporary)
        temporary.chmod(_MODE)
        sync_file(temporary)
        temporary.replace(target)


def _files_below(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _holds(folder: Path, manifest: Manifest) -> bool:
    if not folder.is_dir() or _files_below(folder) != list(manifest.files):
        return False
    return all((folder / path).stat().st_size == e.size for path, e in manifest.files.items())
