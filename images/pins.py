"""Read ``pins.toml``: upstream programs by content. An entry without a sha256 is refused, not trusted."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from registry.data_errors import worded
from registry.digest import Digest
from registry.errors import UsageError


@dataclass(frozen=True)
class Pin:
    """One allowed program: its version, the digest of its file, and where that file came from."""

    version: str
    digest: Digest
    origin: str


@dataclass(frozen=True)
class Pins:
    """Every allowed program, by name."""

    trivy: tuple[Pin, ...]

    @property
    def trivy_versions(self) -> tuple[str, ...]:
        """The allowed versions of Trivy, in the file's order."""
        return tuple(dict.fromkeys(pin.version for pin in self.trivy))


def load_pins() -> Pins:
    """The pins Headgate ships with; raises UsageError when the file was damaged."""
    return parse_pins(resources.files("images").joinpath("pins.toml").read_text(encoding="utf-8"))


def parse_pins(text: str) -> Pins:
    """The pins in this TOML; UsageError names the entry that lacks a version, a sha256 or an origin."""
    try:
        entries = tomllib.loads(text)["trivy"]
        return Pins(tuple(_pin(number, entry) for number, entry in enumerate(entries)))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as problem:
        raise _unusable(worded(problem)) from problem


def _pin(number: int, entry: dict[str, Any]) -> Pin:
    where = f"trivy[{number}]"
    for key in ("version", "sha256", "origin"):
        if not entry.get(key):
            raise _unusable(f"{where} has no {key}")
    try:
        return Pin(str(entry["version"]), Digest(str(entry["sha256"])), str(entry["origin"]))
    except ValueError as problem:
        raise _unusable(f"{where}.sha256 is {problem}") from problem


def _unusable(why: str) -> UsageError:
    next_step = "restore the file, or add the missing value from the file's own content (sha256sum FILE)"
    return UsageError(
        "The list of pinned programs (images/pins.toml) is unusable", why=why, next_step=next_step
    )
