"""What this machine has to work with, as the system tells: free memory, GPUs, and who holds theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from tasks.engine_limits import Machine

_MEBIBYTE = 1 << 20
_PATIENCE = 30.0  # seconds; a driver that has to wake its GPUs takes some
_AWAKE = 5.0  # seconds; where a server holds them nothing has to be woken
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


def out_of_memory_kills() -> int:
    """How many processes the kernel has ended for lack of memory since it started; 0 where it does not tell.

    Also those beyond a container's own limit, and in a container those of the whole machine.
    """
    try:
        rows = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(row.split()[1]) for row in rows if row.startswith("oom_kill "))


def gpu_memory(pids: Collection[int]) -> int | None:
    """Bytes of GPU memory that these processes hold together; None where the driver does not tell.

    In a container it may not know them by these numbers, or be absent.
    """
    return held(pids, _told("--query-compute-apps=pid,used_memory", _AWAKE))


def held(pids: Collection[int], rows: Sequence[tuple[str, str]]) -> int | None:
    """The sum over those rows (process, MiB; one per process and GPU) that are of these processes, in bytes.

    None where there is none, or one without a number: a part would pass for the whole.
    """
    mine = [used for pid, used in rows if pid in {*map(str, pids)}]
    if not mine or not all(used.isdigit() for used in mine):
        return None
    return sum(map(int, mine)) * _MEBIBYTE


def _gpus() -> list[tuple[str, int]]:
    rows = _told("--query-gpu=uuid,memory.total", _PATIENCE)
    return [(uuid, int(memory) * _MEBIBYTE) for uuid, memory in rows if memory.isdigit()]


def _told(query: str, patience: float) -> list[tuple[str, str]]:
    """The rows of a query for two things; none where no driver answers."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    command = [program, query, "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, timeout=patience, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = ([cell.strip() for cell in line.split(",")] for line in told.decode(errors="replace").splitlines())
    return [(row[0], row[1]) for row in rows if len(row) == 2]
