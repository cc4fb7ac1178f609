"""Disk space: a plan is measured against the real disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from registry.errors import InfrastructureError
from tasks.disk import in_words, require_space


def test_a_plan_larger_than_the_disk_is_refused_with_both_figures(tmp_path: Path) -> None:
    """Also when the folder does not exist yet: its disk does."""
    total = shutil.disk_usage(tmp_path).total
    with pytest.raises(InfrastructureError, match="no room for the weights") as caught:
        require_space(tmp_path / "not" / "yet", 2 * total, "the weights")
    assert "free" in caught.value.why
    assert "HEADGATE_HOME" in caught.value.next_step


def test_a_plan_that_fits_passes(tmp_path: Path) -> None:
    """And a plan that needs nothing always does."""
    require_space(tmp_path, 1000, "a file")
    require_space(tmp_path, 0, "nothing")


def test_the_margin_counts(tmp_path: Path) -> None:
    """A plan that would fill the disk to its last byte does not pass."""
    with pytest.raises(InfrastructureError):
        require_space(tmp_path, int(shutil.disk_usage(tmp_path).free * 0.97), "the weights")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (4_300_000_000, "4.3 GB"), (2 * 10**12, "2000.0 GB")],
)
def test_sizes_in_words(size: int, text: str) -> None:
    """Powers of 1000, as disks are sold."""
    assert in_words(size) == text
