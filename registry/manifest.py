"""What is in a set of files: path, digest and size of each, and what differs from another set. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from registry.digest import Digest


@dataclass(frozen=True)
class ManifestEntry:
    """One file's content: its digest, and its size in bytes."""

    digest: Digest
    size: int

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"a file cannot have {self.size} bytes")


@dataclass(frozen=True)
class Manifest:
    """Files by relative POSIX path. Equal when every path, digest and size is."""

    files: Mapping[str, ManifestEntry]

    def __post_init__(self) -> None:
        for path in self.files:
            _check_path(path, self.files)
        object.__setattr__(self, "files", MappingProxyType(dict(sorted(self.files.items()))))

    @property
    def set_digest(self) -> Digest:
        """One digest for the whole set, whatever the order its files were found in.

        The same number comes from a shell in the folder, with coreutils alone:
        ``find . -type f -printf '%P\\0' | xargs -0 sha256sum | LC_ALL=C sort | sha256sum``.
        """
        lines = sorted(f"{entry.digest.hex}  {path}\n".encode() for path, entry in self.files.items())
        return Digest(hashlib.sha256(b"".join(lines)).hexdigest())

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files.values())

    def diff(self, other: Manifest) -> list[str]:
        """A sentence for each file in which ``other`` (found) departs from this one (expected)."""
        sentences = [
            _difference(path, self.files.get(path), other.files.get(path))
            for path in sorted({*self.files, *other.files})
        ]
        return [sentence for sentence in sentences if sentence]

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        files = {path: {"digest": str(e.digest), "size": e.size} for path, e in self.files.items()}
        return {"files": files}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        """Read a mapping written by ``to_json``; raises KeyError, TypeError or ValueError otherwise."""
        files = value["files"]
        return cls(
            {path: ManifestEntry(Digest.parse(e["digest"]), int(e["size"])) for path, e in files.items()}
        )


def _difference(path: str, expected: ManifestEntry | None, found: ManifestEntry | None) -> str | None:
    if expected == found:
        return None
    if found is None:
        return f"{path} is missing"
    if expected is None:
        return f"{path} was not expected"
    return (
        f"{path} differs: expected {expected.digest} ({expected.size} bytes), "
        f"found {found.digest} ({found.size} bytes)"
    )


def _check_path(path: str, files: Mapping[str, ManifestEntry]) -> None:
    # sha256sum writes names with backslashes or line breaks differently, so both are refused.
    parts = path.split("/")
    if not path.isprintable() or "\\" in path or any(part in {"", ".", ".."} for part in parts):
        raise ValueError(f"not a plain relative path: {path!r}")
    folders = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
    if clash := sorted(folders & files.keys()):
        raise ValueError(f"{clash[0]!r} is a file and the folder of {path!r}")
