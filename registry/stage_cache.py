"""Results of finished stages, by the digest of everything that went into them, so that again is free.

A cache may be emptied at any time, and a damaged entry is a miss. What goes into a key, and whether a
result's files still exist, is left to the stages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from registry.atomic import write_file
from registry.digest import Digest, canonical_json
from registry.version import check_name


def stage_key(stage: str, **inputs: Any) -> Digest:
    """The digest of a stage's name and all its inputs: plain JSON values, or Digests."""
    plain = {name: str(value) if isinstance(value, Digest) else value for name, value in inputs.items()}
    return Digest.of_json({"stage": stage, "inputs": plain})


class StageCache:
    """One JSON file per result, ``root/<stage>/<hex>.json``, each carrying the digest of what it holds."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, stage: str, key: Digest) -> dict[str, Any] | None:
        """The stored result, or None when there is none that can be read whole."""
        try:
            entry = json.loads(self._path(stage, key).read_bytes())
            result: dict[str, Any] = entry["result"]
            intact = isinstance(result, dict) and entry["digest"] == str(Digest.of_json(result))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return result if intact else None

    def put(self, stage: str, key: Digest, result: dict[str, Any]) -> None:
        """Store a result of plain JSON values; raises InfrastructureError when the disk refuses."""
        entry = {"digest": str(Digest.of_json(result)), "result": result}
        write_file(self._path(stage, key), canonical_json(entry))

    def _path(self, stage: str, key: Digest) -> Path:
        return self._root / check_name(stage) / f"{key.hex}.json"
