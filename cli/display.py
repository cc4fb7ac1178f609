"""Shows progress on standard error and results on standard output: tables, or one JSON line for programs."""

from __future__ import annotations

import json
import re
import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from registry.plain_text import plain
from tasks.progress import set_reporter

_MOST_FRAMED = 1000  # rows
_NUMBERS = re.compile(r"[\d.,]+")
_COUNT_EVERY = 5.0  # seconds between two lines of a log that differ only in their numbers


def print_json(value: Any) -> None:
    """One compact line on standard output."""
    sys.stdout.write(json.dumps(value, separators=(",", ":"), default=str) + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on standard output; nothing is cut off, long cells wrap. A very long one has no frame."""
    if len(rows) > _MOST_FRAMED:
        _print_columns([columns, *rows])
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console().print(table)


def _print_columns(rows: list[list[str]]) -> None:
    # Laying out a frame takes a millisecond per row.
    cells = [[", ".join(plain(cell).split("\n")) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in cells)
    sys.stdout.writelines(lines)
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for people on standard error, where it never mixes with a result."""
    Console(stderr=True, highlight=False).print(text, soft_wrap=True, markup=False)


class Display:
    """Draws the stages of a command while it runs: bars on a terminal, a line per change elsewhere."""

    def __init__(self, *, bars: bool) -> None:
        console = Console(stderr=True)
        self._bars = bars and console.is_terminal
        self._started = time.monotonic()
        self._rows: dict[str, TaskID] = {}
        self._last: dict[str, str] = {}
        self._counted = 0.0
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("[bold]{task.fields[stage]}", justify="right"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
        )

    def __enter__(self) -> Display:
        self._previous = set_reporter(self._show)
        if self._bars:
            self._progress.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        set_reporter(self._previous)
        if self._bars:
            self._progress.stop()

    def _show(self, stage: str, message: str, fraction: float | None) -> None:
        if self._bars:
            self._draw(stage, message, fraction)
        elif self._last.get(stage) != message and not self._is_counting(stage, message, fraction):
            self._last[stage] = message
            say(f"[{time.monotonic() - self._started:6.1f} s] {stage}: {message}")

    def _is_counting(self, stage: str, message: str, fraction: float | None) -> bool:
        """Whether the line differs from the last one in its numbers only, and is neither due nor the end."""
        now, last = time.monotonic(), self._last.get(stage, "")
        same = _NUMBERS.sub("", message) == _NUMBERS.sub("", last)
        if same and fraction is not None and fraction < 1 and now - self._counted < _COUNT_EVERY:
            return True
        self._counted = now
        return False

    def _draw(self, stage: str, message: str, fraction: float | None) -> None:
        if stage not in self._rows or self._progress.tasks[self._rows[stage]].finished:
            self._rows[stage] = self._progress.add_task(message, total=None, stage=stage)
        row = self._rows[stage]
        if fraction is None:
            self._progress.update(row, description=message)
        else:
            self._progress.update(row, description=message, completed=fraction, total=1.0)
