"""Whether downloaded files are what the hub listed for the commit, byte for byte, and what they ask for.

Reads the disk; asks no hub. A hub knows large files by their sha256 and small ones by their git
object's sha1; each file is read once for that and for the sha256 by which Headgate knows it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.admission import is_configuration, refuse_custom_code
from registry.digest import Digest
from registry.errors import InfrastructureError, Refused
from registry.manifest import ManifestEntry
from tasks.disk import in_words
from tasks.progress import StageProgress

_ABSENT = "no file"
_READ_SIZE = 1 << 20
_LARGEST_CONFIGURATION = 16 << 20  # bytes; a real one has a few thousand


@dataclass(frozen=True)
class HubFile:
    """A file as the hub lists it: size in bytes, and sha256 of the content or sha1 of its git object."""

    path: str
    size: int
    sha256: str | None
    git_sha1: str | None

    @property
    def expected(self) -> str:
        """The checksum to compare with, and its kind."""
        return f"sha256:{self.sha256}" if self.sha256 else f"git-sha1:{self.git_sha1}"


@dataclass(frozen=True)
class Mismatch:
    """A file that is not what the hub listed, or is not there (``actual`` says so)."""

    path: str
    expected: str
    actual: str


def verified(
    folder: Path, files: Sequence[HubFile], progress: StageProgress
) -> tuple[dict[str, ManifestEntry], list[Mismatch]]:
    """The entries of all files that are what the hub listed, and the others."""
    entries: dict[str, ManifestEntry] = {}
    bad: list[Mismatch] = []
    total, done = sum(file.size for file in files), 0
    for file in files:
        progress(f"verifying {file.path} ({in_words(file.size)})", done / max(total, 1))
        found = _look_at(folder / file.path, file)
        if isinstance(found, Mismatch):
            bad.append(found)
        else:
            entries[file.path] = found
        done += file.size
    return entries, bad


def refuse_bad(bad: Sequence[Mismatch], where: str) -> None:
    """Raises for files that are bad after a second download: Refused, or InfrastructureError if absent."""
    if not bad:
        return
    if missing := [mismatch.path for mismatch in bad if mismatch.actual == _ABSENT]:
        raise InfrastructureError(
            f"the hub did not deliver {', '.join(missing)} of {where}",
            why="it was asked twice, and the client reported success",
            next_step="run the same command again: whole files are kept",
        )
    one_by_one = "; ".join(f"{m.path}: expected {m.expected}, found {m.actual}" for m in bad)
    raise Refused(
        f"{where} is not what its hub promised: {', '.join(m.path for m in bad)}",
        why=f"downloaded twice, the content still differs from the commit's own listing ({one_by_one})",
        next_step="run the same command again later; if it stays, the hub or something between is broken: "
        "choose another revision, or tell who runs it",
    )


def read_configurations(folder: Path, paths: Iterable[str], where: str) -> None:
    """Raises Refused when a configuration file cannot be read, or asks for code of the repository."""
    for path in filter(is_configuration, paths):
        refuse_custom_code(path, _parsed(folder / path, where), where)


def _parsed(path: Path, where: str) -> Any:
    try:
        if path.stat().st_size > _LARGEST_CONFIGURATION:
            raise ValueError(f"it has more than {in_words(_LARGEST_CONFIGURATION)}")
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Refused(
            f"{path.name} of {where} is not readable as JSON",
            why=str(error),
            next_step="choose another revision or repository",
        ) from None


def _look_at(path: Path, file: HubFile) -> ManifestEntry | Mismatch:
    try:
        size = path.stat().st_size
        if size != file.size:
            return Mismatch(file.path, f"{file.expected} ({file.size} bytes)", f"{size} bytes")
        sha256, git_sha1 = _digests(path, size, git=file.sha256 is None)
    except FileNotFoundError:
        return Mismatch(file.path, file.expected, _ABSENT)
    actual = f"sha256:{sha256}" if file.sha256 else f"git-sha1:{git_sha1}"
    if actual != file.expected:
        return Mismatch(file.path, file.expected, actual)
    return ManifestEntry(Digest(sha256), size)


def _digests(path: Path, size: int, *, git: bool) -> tuple[str, str]:
    """The sha256 of a file, and the sha1 git gives it as a blob ("" unless asked for)."""
    sha256 = hashlib.sha256()
    sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if git else None
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_READ_SIZE):
            sha256.update(chunk)
            if sha1:
                sha1.update(chunk)
    return sha256.hexdigest(), sha1.hexdigest() if sha1 else ""
