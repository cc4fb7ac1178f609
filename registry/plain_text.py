"""Text from elsewhere as people may be shown it: what cannot be seen, or steers a terminal, is spelt out.

Names, reasons and findings come from hubs, tools and other people. Pure.
"""

from __future__ import annotations

_LAYOUT = {"\n", "\t"}


def plain(text: str) -> str:
    """The text with escape codes, invisible and direction-changing characters written as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _LAYOUT else _spelt(c) for c in text)


def one_line(text: str, longest: int) -> str:
    """The text on one line, of at most this many characters; what is cut off ends in an ellipsis."""
    flat = " ".join(plain(text).split())
    return flat if len(flat) <= longest else flat[: longest - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``: of a noun that takes an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _spelt(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
