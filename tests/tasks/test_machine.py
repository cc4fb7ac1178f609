"""Which GPUs may be used, as CUDA reads its variable."""

from __future__ import annotations

import pytest

from tasks.machine import this_machine, visible

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
