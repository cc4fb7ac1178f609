"""A version's lineage as one HTML file that needs nothing else (see ``page``).

Pure: the lineage and the time it was judged at come in, text goes out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from registry.evidence import Evidence
from registry.lineage import Lineage, Mark, Node, Step, said_at
from registry.page import page_template

_WIDTH, _HEIGHT = 208, 88  # pixels, of a card
_ACROSS, _DOWN = 40, 16  # pixels, between cards
_TOP, _MARGIN = 34, 14  # pixels: the columns' headings, and room for the box around what is released
_LONGEST_FACTS = 20_000  # characters; a scan report of a whole runtime is longer


@dataclass(frozen=True)
class Card:
    """A node with its place in the drawing, in pixels."""

    node: Node
    x: int
    y: int


@dataclass(frozen=True)
class Drawing:
    """The graph, laid out: cards, curves between them, the columns' headings, the box of a release."""

    width: int
    height: int
    cards: tuple[Card, ...]
    curves: tuple[tuple[str, Mark], ...]
    headings: tuple[tuple[int, str], ...]
    box: tuple[int, int, int, int]


def render(lineage: Lineage, at: datetime) -> str:
    """The page. ``at`` is when the policy was asked."""
    mark, standing = lineage.standing
    return page_template("registry", "lineage_page.html.jinja").render(
        version=lineage.version,
        lineage=lineage,
        mark=mark,
        standing=standing,
        drawing=draw(lineage),
        kinds=list(_by_kind(lineage.evidence)),
        at=at,
        facts=_facts,
        said_at=said_at,
        card_width=_WIDTH,
        card_height=_HEIGHT,
    )


def draw(lineage: Lineage) -> Drawing:
    """Lay the graph out: a column per step, each centred; curves from left to right."""
    columns = [lineage.of_step(step) for step in Step]
    tallest = max(_column_height(column) for column in columns)
    cards = tuple(card for number, column in enumerate(columns) for card in _stack(number, column, tallest))
    released = [card for card in cards if card.node.step is Step.RELEASE]
    x, y = released[0].x - _MARGIN, released[0].y - _MARGIN
    box = (x, y, _WIDTH + 2 * _MARGIN, _column_height(columns[2]) + 2 * _MARGIN)
    return Drawing(
        width=_left(len(columns)) - _ACROSS + _MARGIN,
        height=_TOP + tallest + 2 * _MARGIN,
        cards=cards,
        curves=tuple(dict.fromkeys(_curves(lineage.edges, cards, box))),
        headings=tuple((_left(number), str(step)) for number, step in enumerate(Step)),
        box=box,
    )


def _stack(number: int, column: Sequence[Node], tallest: int) -> Iterator[Card]:
    top = _TOP + _MARGIN + (tallest - _column_height(column)) // 2
    for row, node in enumerate(column):
        yield Card(node, _left(number), top + row * (_HEIGHT + _DOWN))


def _left(column: int) -> int:
    return _MARGIN + column * (_WIDTH + _ACROSS)


def _column_height(column: Sequence[Node]) -> int:
    return len(column) * (_HEIGHT + _DOWN) - _DOWN


def _curves(
    edges: Iterable[tuple[str, str]], cards: Iterable[Card], box: tuple[int, int, int, int]
) -> Iterator[tuple[str, Mark]]:
    by_id = {card.node.id: card for card in cards}
    for before, after in edges:
        start, end = by_id[before], by_id[after]
        x, y = start.x + _WIDTH, start.y + _HEIGHT // 2
        if start.node.step is Step.RELEASE:  # what is judged is the whole box
            x, y = box[0] + box[2], box[1] + box[3] // 2
        to_x, to_y = end.x, end.y + _HEIGHT // 2
        bend = (to_x - x) // 2
        # A judge's answer colours what leads on from it.
        mark = start.node.mark if start.node.step is Step.JUDGED else Mark.PLAIN
        yield f"M{x} {y} C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}", mark


def _by_kind(evidence: Iterable[Evidence]) -> Iterator[tuple[str, list[Evidence]]]:
    found = sorted(evidence, key=said_at, reverse=True)
    for kind in dict.fromkeys(e.kind for e in found):
        yield kind, [e for e in found if e.kind == kind]


def _facts(facts: Mapping[str, Any]) -> str:
    text = json.dumps(dict(facts), indent=2, sort_keys=True, ensure_ascii=False)
    if len(text) <= _LONGEST_FACTS:
        return text
    return f"{text[:_LONGEST_FACTS]}\n... {len(text) - _LONGEST_FACTS} more characters are in the record"
