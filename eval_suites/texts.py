"""What the items of a suite looked like to one model, and what it answered: for people to read. Pure.

Kept beside a report, not in it: a judge reads scores at each look, and texts only of what flipped. Each look
has a file of its own, gzip of a JSON object per line: ``task``, ``doc_id``, ``prompt`` and ``answer``, of
which the engine has left out the middle where they are long.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Collection
from dataclasses import dataclass

Place = tuple[str, int]
"""A task's name and a doc_id."""


@dataclass(frozen=True)
class ItemText:
    """The prompt, and the answer: what was generated, or the choice that was likeliest."""

    prompt: str
    answer: str


def read_texts(data: bytes, wanted: Collection[Place]) -> dict[Place, ItemText]:
    """The texts of these items in a look's file; none from a file that is damaged."""
    try:
        lines = [json.loads(line) for line in gzip.decompress(data).splitlines()]
        found = {(line["task"], line["doc_id"]): line for line in lines}
        return {place: _text(found[place]) for place in wanted if place in found}
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        return {}


def _text(line: dict[str, str]) -> ItemText:
    return ItemText(str(line["prompt"]), str(line["answer"]))
