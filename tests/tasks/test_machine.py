"""Which GPUs may be used, as CUDA reads its variable, and what processes hold of them, by the driver."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.machine import gpu_memory, out_of_memory_kills, this_machine, visible

GPUS = [("GPU-aaaa1111", 10), ("GPU-aabb2222", 20), ("GPU-cccc3333", 30)]


@pytest.mark.parametrize(
    ("chosen", "memory"),
    [
        (None, (10, 20, 30)),
        ("", ()),
        ("1", (20,)),
        ("2, 0", (30, 10)),
        ("GPU-cccc", (30,)),
        ("0,7,1", (10,)),
        ("-1", ()),
    ],
)
def test_only_visible_gpus_count(chosen: str | None, memory: tuple[int, ...]) -> None:
    """Numbers or the beginnings of UUIDs, up to the first that names none."""
    assert visible(GPUS, chosen) == memory


def test_this_machine_has_memory() -> None:
    """More than a few megabytes are free where tests run."""
    assert this_machine().memory > 10_000_000


def driver(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An nvidia-smi that does this."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_what_processes_hold_of_gpus_is_the_sum_of_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row for each process and GPU; those of others do not count."""
    asked = 'test "$1" = --query-compute-apps=pid,used_memory || exit 2'
    driver(tmp_path, monkeypatch, f"{asked}; printf '11, 100\\n11, 30\\n12, 7\\n111, 5000\\n'")
    assert gpu_memory([11, 12, 13]) == 137 << 20


@pytest.mark.parametrize(
    "script",
    [
        "exit 9",
        "exec sleep 60",
        "echo No running processes found",
        "printf '11, 100\\n12, [N/A]\\n'",
        "printf '99, 100\\n'",
        "printf '\\377'",
    ],
)
def test_what_the_driver_does_not_tell_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """It is broken, hangs, has no number for one of them, or knows them by other ids, as in a container."""
    monkeypatch.setattr("tasks.machine._AWAKE", 0.5)
    driver(tmp_path, monkeypatch, script)
    assert gpu_memory([11, 12]) is None


def test_without_a_driver_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without GPUs."""
    monkeypatch.setenv("PATH", "")
    assert gpu_memory([11]) is None


def test_kills_for_lack_of_memory_are_counted_where_the_kernel_tells() -> None:
    """It may be none, and does not fall."""
    assert 0 <= out_of_memory_kills() <= out_of_memory_kills()
