"""Where a child's lines go: the log, the log file, and the tail kept for errors, all without secrets."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from tasks.lines import LineSplitter
from tasks.redact import Redactor

TAIL_LINES = 30
_LONGEST_COMMAND = 400  # characters of a command line worth repeating in an error


class ChildOutput:
    """One child's output. ``env`` is the child's: its secrets are those that could come out of it."""

    def __init__(self, env: Mapping[str, str], log: Callable[[str], None], file: TextIO | None) -> None:
        self._redact = Redactor.of_environment(env)
        self._splitter = LineSplitter()
        self._log, self._file = log, file
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)

    def announce(self, argv: Sequence[str]) -> None:
        """Write the command to the log file; the log gets the child's own lines only, which may be parsed."""
        self._to_file("$ " + self._one_line(argv))

    def take(self, chunk: bytes) -> None:
        """Pass on the lines that end in this chunk."""
        self._say(self._splitter.feed(chunk))

    def close(self) -> None:
        """Pass on the last line if nothing ended it."""
        self._say(self._splitter.close())

    def command(self, argv: Sequence[str]) -> str:
        """The command as it may stand in an error: without secrets, and not endless."""
        text = self._one_line(argv)
        return text if len(text) <= _LONGEST_COMMAND else text[:_LONGEST_COMMAND] + "..."

    def last_lines(self) -> str:
        """The tail as it may stand in an error."""
        if not self.tail:
            return "it wrote nothing"
        # Copied: a background child's tail grows while it is read.
        return "its last lines were:\n" + "\n".join(f"  {line}" for line in tuple(self.tail)) + "\n"

    def _one_line(self, argv: Sequence[str]) -> str:
        return self._redact(shlex.join(argv)).replace("\n", "\\n")

    def _say(self, lines: Sequence[str]) -> None:
        for line in map(self._redact, lines):
            self.tail.append(line)
            self._to_file(line)
            self._log(line)

    def _to_file(self, line: str) -> None:
        if self._file:
            self._file.write(line + "\n")
            self._file.flush()
