"""What this machine has to quantize with: free memory and GPUs, as the system tells."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tasks.engine_limits import Machine

_MEBIBYTE = 1 << 20
_PATIENCE = 30.0  # seconds; a driver that has to wake its GPUs takes some
_CGROUP = Path("/sys/fs/cgroup")  # of a container: its own


def this_machine() -> Machine:
    """Free memory, and that of each GPU that may be used, in bytes; no GPU where no driver answers."""
    return Machine(_free_memory(), visible(_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")))


def visible(gpus: list[tuple[str, int]], chosen: str | None) -> tuple[int, ...]:
    """The memory of those GPUs (UUID and bytes) that CUDA_VISIBLE_DEVICES leaves: all where it is not set.

    As CUDA reads it: numbers or beginnings of UUIDs, up to the first that names none.
    """
    if chosen is None:
        return tuple(memory for _, memory in gpus)
    found: list[int] = []
    for name in filter(None, (part.strip() for part in chosen.split(","))):
        fitting = [m for n, (uuid, m) in enumerate(gpus) if name == str(n) or uuid.startswith(name)]
        if not fitting:
            break
        found.append(fitting[0])
    return tuple(found)


def _free_memory() -> int:
    """What the system has to give, or less: what a container may still take."""
    with Path("/proc/meminfo").open(encoding="ascii") as file:
        words = next(line.split() for line in file if line.startswith("MemAvailable:"))
    free = int(words[1]) << 10
    try:
        limit, used = ((_CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return free
    return free if limit == "max" else min(free, int(limit) - int(used))


def _gpus() -> list[tuple[str, int]]:
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    command = [program, "--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in told.splitlines()]
    return [(row[0], int(row[1]) * _MEBIBYTE) for row in rows if len(row) == 2 and row[1].isdigit()]
