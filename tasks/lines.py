"""Turns a child's bytes into lines as they arrive. Pure: bytes in, lines out.

A progress bar rewrites its line with carriage returns, so those end lines too; a bar's empty lines
are dropped. The result does not depend on how the bytes were cut into chunks.
"""

from __future__ import annotations

import codecs
import re

LONGEST = 16_384  # characters; a line without an end must not grow in memory for hours
_END = re.compile(r"\r\n|\r|\n")


class LineSplitter:
    """Feed it chunks; bytes that are not UTF-8 become replacement characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._after_return = False

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that end in this chunk."""
        return self._split(self._decoder.decode(chunk))

    def close(self) -> list[str]:
        """What is left when the stream ends, as a last line; nothing if it ended with a line end."""
        lines = self._split(self._decoder.decode(b"", final=True))
        last, self._rest = self._rest, ""
        return [*lines, last] if last else lines

    def _split(self, text: str) -> list[str]:
        if not text:
            return []
        if self._after_return:
            text = text.removeprefix("\n")  # the second half of a \r\n that was cut in two
        text = self._rest + text
        lines: list[str] = []
        start = 0
        for end in _END.finditer(text):
            line = text[start : end.start()]
            if line or end[0] == "\n":
                lines.extend(_pieces(line))
            start = end.end()
        self._after_return = start == len(text) and text.endswith("\r")
        *full, self._rest = _pieces(text[start:])
        return lines + full


def _pieces(line: str) -> list[str]:
    """The line in pieces of at most LONGEST characters; an empty line is one empty piece."""
    return [line[start : start + LONGEST] for start in range(0, len(line), LONGEST)] or [""]
