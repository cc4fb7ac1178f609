"""What this machine has to quantize with: free memory and GPUs, as the system tells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tasks.engine_limits import Machine

_MEBIBYTE = 1 << 20
_PATIENCE = 30.0  # seconds; a driver that has to wake its GPUs takes some


def this_machine() -> Machine:
    """Free memory, and that of each GPU, in bytes; no GPU where no driver answers."""
    return Machine(_free_memory(), _gpus())


def _free_memory() -> int:
    """Memory that can be had, in bytes: free, or used by the file system to remember files."""
    with Path("/proc/meminfo").open(encoding="ascii") as file:
        words = next(line.split() for line in file if line.startswith("MemAvailable:"))
    return int(words[1]) << 10


def _gpus() -> tuple[int, ...]:
    program = shutil.which("nvidia-smi")
    if not program:
        return ()
    command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(line) * _MEBIBYTE for line in told.splitlines() if line.strip().isdigit())
