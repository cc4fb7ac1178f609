"""Text in Markdown tables. Pure."""

from __future__ import annotations


def cell(text: str) -> str:
    """Text that stays in its cell, and is text: no bar, no tag, no line break."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
