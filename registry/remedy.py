"""What helps where bytes are damaged: nothing that is there is written over, so it has to go first."""

from __future__ import annotations

from pathlib import Path


def put_anew(damaged: Path | str) -> str:
    """The next step for a damaged file, or a damaged key of the store."""
    backup = f"restore {damaged} from a backup; where there is none"
    return f"{backup}, remove it first, then import or release the version again"
