"""What a command says while it runs, where there is no terminal."""

from __future__ import annotations

import pytest

from cli.display import Display
from tasks.progress import report


def test_a_count_does_not_fill_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand steps that differ in their numbers are a few lines: the first, the last, some between."""
    with Display(bars=False):
        for done in range(1, 1001):
            report("copy", f"{done} of 1000 records", done / 1000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) < 10
    assert "1 of 1000" in lines[0]
    assert "1000 of 1000" in lines[-1]


def test_what_is_new_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Other words, or a message without a fraction, are never held back."""
    with Display(bars=False):
        report("rollout", "progressing 5 %: started", 0.05)
        report("rollout", "progressing 25 %: enough requests", 0.25)
        report("fetch", "attempt 1")
        report("fetch", "attempt 2")
    assert len(capsys.readouterr().err.splitlines()) == 4
