"""Whether a plan fits on the disk, asked before its first byte is written."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from registry.errors import InfrastructureError

_MARGIN = 1.1  # logs, metadata and the file system's own blocks come on top of the plan's bytes


def require_space(path: Path, needed: int, what: str) -> None:
    """Raises InfrastructureError unless the disk under ``path`` has room for ``needed`` bytes of ``what``.

    A tenth more than ``needed`` must be free; ``path`` need not exist yet.
    """
    existing, free = _existing(path), free_space(path)
    if needed * _MARGIN > free:
        raise InfrastructureError(
            f"there is no room for {what}: it needs {in_words(round(needed * _MARGIN))}",
            why=f"the disk under {existing} has {in_words(free)} free",
            next_step="free some space, or set HEADGATE_HOME to a folder on a larger disk",
        )


def sizes_in_words(sizes: Mapping[str, int]) -> str:
    """How much came from where, for people: ``1.2 GB from this machine, 3.1 GB from the source``."""
    return ", ".join(f"{in_words(size)} from {place}" for place, size in sizes.items() if size)


def free_space(path: Path) -> int:
    """Free bytes of the disk under ``path``, which need not exist yet."""
    return shutil.disk_usage(_existing(path)).free


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def in_words(size: int) -> str:
    """A number of bytes for people, in powers of 1000: ``4.3 GB``."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if abs(amount) < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
