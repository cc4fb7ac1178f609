"""A Store in a folder, for many processes: one file per key, readable with ``cat``.

Creating is a hard link, swapping a rename under a lock of the key's own, so a value is there whole or
not at all, and a writer killed at any moment leaves at most a dot file that is never listed.

On a folder that several machines share, creating needs a file system whose links exclude each other,
and swapping and deleting one whose ``flock`` does: NFS 4, or NFS 3 with its lock daemon (Linux turns
``flock`` into a lock of the server), CephFS, GPFS, Lustre mounted with ``flock``; not a mount with
``nolock`` or ``local_lock``. Records that are never replaced (versions, evidence, audit) need only links.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from registry.atomic import cannot_read, create_file, exclusive, write_file
from registry.store import check_key, check_prefix, is_key

_LOCKS = ".locks"  # no key begins with a dot, so this folder is outside what can be listed


class DirStore:
    """Store over the files under ``root``, which is created at the first write.

    Raises InfrastructureError where the file system refuses a read or a write.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def __repr__(self) -> str:
        return str(self._root)

    def get(self, key: str) -> bytes | None:
        """The value, or None when there is none."""
        path = self._path(key)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as problem:
            raise cannot_read(path, problem) from problem

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the value unless the key has one; returns whether it was written."""
        return create_file(self._free_path(key), data)

    def compare_and_swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Write ``new`` if the value is ``expected`` (None: absent); returns whether it was written."""
        if expected is None:
            return self.put_if_absent(key, new)
        with self._locked(key):
            if self.get(key) != expected:
                return False
            write_file(self._path(key), new)
            return True

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with these characters, sorted."""
        folder = self._root / check_prefix(prefix).rpartition("/")[0]
        keys = (path.relative_to(self._root).as_posix() for path in _files(folder))
        return iter(sorted(key for key in keys if key.startswith(prefix) and is_key(key)))

    def delete(self, key: str) -> None:
        """Remove the value; nothing happens when there is none."""
        with self._locked(key):
            if self.get(key) is not None:
                self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _free_path(self, key: str) -> Path:
        path = self._path(key)
        parents = [parent for parent in path.parents if parent.is_relative_to(self._root)]
        if path.is_dir() or any(parent.is_file() for parent in parents):
            raise ValueError(f"{key!r} is the folder of another key, or lies under one")
        return path

    def _locked(self, key: str) -> AbstractContextManager[None]:
        name = hashlib.sha256(check_key(key).encode()).hexdigest()
        return exclusive(self._root / _LOCKS / name)


def _files(folder: Path) -> Iterator[Path]:
    # scandir instead of rglob: a folder or file removed while we look is skipped, not an error.
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if is_key(entry.name)]  # no dot files, no lost+found
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as problem:
        raise cannot_read(folder, problem) from problem
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield Path(entry.path)
