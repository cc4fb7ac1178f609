"""The files of one local fleet: where they are, and how clients and the supervisor write them whole.

``desired.json`` is the clients', ``observed.json`` and ``supervisor.json`` are the supervisor's. What they
say is defined in ``fleet/router.py`` and ``fleet/reconcile.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.router import DesiredState, ObservedState
from registry.atomic import cannot_read, write_file


@dataclass(frozen=True)
class FleetFiles:
    """One fleet's folder."""

    directory: Path

    @property
    def desired(self) -> Path:
        """What clients want."""
        return self.directory / "desired.json"

    @property
    def observed(self) -> Path:
        """What the supervisor made."""
        return self.directory / "observed.json"

    @property
    def supervisor(self) -> Path:
        """What the supervisor has to remember over its own death."""
        return self.directory / "supervisor.json"

    @property
    def lock(self) -> Path:
        """Held by the one supervisor while it lives."""
        return self.directory / "supervisor.lock"

    @property
    def desired_lock(self) -> Path:
        """Held by a client while it changes what it wants."""
        return self.directory / "desired.lock"

    @property
    def access_log(self) -> Path:
        """One line per request."""
        return self.directory / "access.log"

    @property
    def envoy(self) -> Path:
        """Envoy's bootstrap and admin address."""
        return self.directory / "envoy"

    def log(self, name: str) -> Path:
        """The output of one daemon."""
        return self.directory / f"{name}.log"

    def read_desired(self) -> DesiredState | None:
        """What is wanted, or None when nobody ever wanted anything."""
        value = _read(self.desired)
        return None if value is None else DesiredState.from_json(value)

    def read_observed(self) -> ObservedState:
        """What was last observed; nothing when there is no record."""
        value = _read(self.observed)
        return ObservedState() if value is None else ObservedState.from_json(value)


def write_json(path: Path, value: Any) -> None:
    """Replace a file in one step; raises InfrastructureError."""
    write_file(path, json.dumps(value, indent=1).encode())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise cannot_read(path, problem) from problem
    return value


def read_json(path: Path) -> dict[str, Any]:
    """A file written by ``write_json``; empty when there is none."""
    return _read(path) or {}
