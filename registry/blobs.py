"""Files by their content, each on disk once: hard links in from work folders, hard links out to load from.

A blob shares its data with the file it came from and with every folder made of it. So a file handed
in must not be changed in place afterwards, and folders handed out are to be read, not edited.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from registry.atomic import cannot_write, exclusive, sync_file, sync_folder, temporary_beside
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

    def path(self, digest: Digest) -> Path:
        """Where this blob is, or would be."""
        return self._root / "sha256" / digest.hex

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here."""
        return self.path(digest).is_file()

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
        """Take a file in by hard link (by copy from another disk) and return its digest.

        A digest that is passed is believed: whoever fetched or wrote the file has just computed it.
        """
        source = path.resolve(strict=True)  # link(2) would link a symbolic link itself
        digest = digest or Digest.of_file(source)
        target = self.path(digest)
        if not target.is_file():
            try:
                sync_file(source)
                _place(source, target)
                sync_folder(target.parent)
            except OSError as problem:
                raise cannot_write(target, problem) from problem
        return digest

    def add_tree(self, folder: Path, paths: Iterable[str] | None = None) -> Manifest:
        """Take in every file below the folder, or these relative paths, and say what they are."""
        chosen = paths if paths is not None else _files_below(folder)
        sizes = {path: (folder / path).stat().st_size for path in chosen}
        return Manifest({p: ManifestEntry(self.add_file(folder / p), size) for p, size in sizes.items()})

    def link_tree(self, manifest: Manifest, target: Path) -> Path:
        """Make ``target`` a folder of exactly these files, or leave it when it is one already.

        It appears whole under its name, in one rename. Raises InfrastructureError for a missing blob.
        """
        with exclusive(self._root / ".lock"):
            if _holds(target, manifest):
                return target
            for entry in manifest.files.values():
                self.open(entry.digest).close()
            try:
                self._build_tree(manifest, target)
            except OSError as problem:
                raise cannot_write(target, problem) from problem
            return target

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
