"""Runs an engine's program once per GPU, under torchrun, and makes one result of what the ranks report.

Each rank runs the same script on the same request and writes a result file of its own, named for its rank.
Standard library only; what the ranks say to each other is the engine's library's business.
"""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from engine_protocol import EngineError

Sample = TypeVar("Sample")
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def is_rank(environment: Mapping[str, str]) -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in environment


def rank(environment: Mapping[str, str]) -> tuple[int, int]:
    """This process's number and how many there are: 0 of 1 unless torchrun started it."""
    return (int(environment["RANK"]), int(environment["WORLD_SIZE"])) if is_rank(environment) else (0, 1)


def die_with_torchrun() -> None:
    """Have the kernel kill this rank when torchrun ends: it gives each a process group of its own."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def share(samples: Sequence[Sample], number: int, ranks: int) -> list[Sample]:
    """The samples of one rank: every sample is in exactly one share, and shares differ by one at most."""
    return list(samples[number::ranks])


def rank_result(result: Path, number: int) -> Path:
    """Where a rank writes its result."""
    return result.with_name(f"{result.name}.rank{number}")


def torchrun_command(python: str, script: str, request: Path, result: Path, ranks: int) -> list[str]:
    """Run the script on every GPU of this machine; the rendezvous is on the loopback, on a free port."""
    module = [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    return [*module, script, str(request), str(result)]


def run_ranks(script: str, request: Path, result: Path, ranks: int) -> dict[str, Any]:
    """The result of the first rank, with the memory of the fullest GPU; raises EngineError."""
    files = [rank_result(result, number) for number in range(ranks)]
    for file in files:
        file.unlink(missing_ok=True)
    command = torchrun_command(sys.executable, script, request, result, ranks)
    code = subprocess.run(command, check=False).returncode
    return merge([_read(file) for file in files], code)


def merge(results: Sequence[dict[str, Any] | None], code: int) -> dict[str, Any]:
    """One result of the ranks'; None stands for a rank that left none. Raises EngineError.

    When one rank fails, torchrun kills the others: the error that counts is the one that was written.
    """
    for result in results:
        if result is not None and not result["ok"]:
            error = result["error"]
            raise EngineError(error["class"], error["what"], why=error["why"], next_step=error["next"])
    reports = [result for result in results if result is not None]
    if code or len(reports) < len(results):
        raise EngineError(
            "infra",
            f"Only {len(reports)} of {len(results)} GPU processes ended well",
            why=f"torchrun ended with {code}",
            next_step="read the log of this stage, or show the engine one GPU with CUDA_VISIBLE_DEVICES",
        )
    return {**reports[0], "peak_gpu_bytes": max(report["peak_gpu_bytes"] or 0 for report in reports)}


def _read(file: Path) -> dict[str, Any] | None:
    try:
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result
