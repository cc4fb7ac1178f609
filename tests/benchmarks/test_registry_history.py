"""The judge of the registry benchmark finds what is wrong in histories made wrong on purpose."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.registry_history import (
    Operation,
    duplicate_numbers,
    lost_moves,
    lost_versions,
    misplaced,
    parse_log,
)


def _op(kind: str, start: float, end: float, wanted: Any = None, got: Any = None, id_: str = "") -> Operation:
    return Operation(id_ or f"{kind}-{start}", kind, "tiny", start, wanted, end, got)


def _move(id_: str, start: float, end: float, number: int) -> Operation:
    return _op("move", start, end, ["candidate", number], True, id_)


_CHAIN = [("a", {"candidate": 1}), ("b", {"candidate": 2}), ("c", {"candidate": 3})]
_MOVES = [_move("a", 0, 1, 1), _move("b", 2, 3, 2), _move("c", 4, 5, 3)]


def test_a_history_in_order_is_right() -> None:
    """Also with reads between and during the moves."""
    reads = [_op("read", 0.5, 2.5, got=0), _op("read", 1.5, 1.6, got=1), _op("read", 4.5, 9, got=3)]
    assert misplaced(_CHAIN, [*_MOVES, *reads]) == 0
    assert lost_moves(_CHAIN, _MOVES) == 0


@pytest.mark.parametrize(
    "read", [_op("read", 3.5, 3.6, got=1), _op("read", 3.5, 3.6, got=3), _op("read", 6, 7, got=4)]
)
def test_a_read_of_the_past_or_the_future_is_found(read: Operation) -> None:
    """Stale, early, and of a move that never was."""
    assert misplaced(_CHAIN, [*_MOVES, read]) == 1


def test_reads_that_go_back_in_time_are_found() -> None:
    """Each alone could be right while a move runs; one after the other they cannot."""
    during = [_move("a", 0, 10, 1)]
    new, old = _op("read", 1, 2, got=1), _op("read", 3, 4, got=0)
    assert misplaced(_CHAIN[:1], [*during, old]) == misplaced(_CHAIN[:1], [*during, new]) == 0
    assert misplaced(_CHAIN[:1], [*during, new, old]) == 1


def test_moves_in_the_wrong_order_are_found() -> None:
    """The second had ended before the first began."""
    assert misplaced(_CHAIN[:2], [_move("a", 4, 5, 1), _move("b", 2, 3, 2)]) == 1


def test_a_move_that_is_missing_or_twice_there_is_lost() -> None:
    """Unless its mover was killed, or the alias was there already."""
    assert lost_moves(_CHAIN, [*_MOVES, _move("d", 6, 7, 4)]) == 1
    assert lost_moves(_CHAIN, [*_MOVES, _move("d", 6, float("inf"), 4)]) == 0
    assert lost_moves(_CHAIN, [*_MOVES, _move("d", 6, 7, 3)]) == 0
    assert lost_moves(_CHAIN, [*_MOVES, _move("d", 6, 7, 2)]) == 1
    assert lost_moves([*_CHAIN, _CHAIN[0]], _MOVES) == 1
    assert lost_moves(_CHAIN, _MOVES[:2]) == 1


def test_shared_numbers_and_contents_are_found() -> None:
    """One content has one number, and one number one content."""
    first = _op("publish", 0, 1, "x", 1)
    assert duplicate_numbers([first, _op("publish", 2, 3, "x", 1), _op("find", 4, 5, 1, "x")]) == 0
    assert duplicate_numbers([first, _op("publish", 2, 3, "x", 2)]) == 1
    assert duplicate_numbers([first, _op("publish", 2, 3, "y", 1)]) == 1
    assert duplicate_numbers([first, _op("find", 2, 3, 1, "y")]) == 1


def test_a_version_that_is_gone_is_found() -> None:
    """Who looked before it was there may miss it."""
    first = _op("publish", 0, 1, "x", 1)
    assert lost_versions([first, _op("find", 0.5, 2, 1, None)]) == 0
    assert lost_versions([first, _op("find", 1.5, 2, 1, None)]) == 1
    assert lost_versions([_op("find", 0, 1, 1, "x"), _op("find", 2, 3, 1, None)]) == 1


def test_a_log_of_a_killed_writer_is_read() -> None:
    """Its last operation has no answer, its last line no end."""
    begun = [{"id": "1", "kind": "publish", "name": "tiny", "start": 1.0, "wanted": "x"}]
    begun += [{**begun[0], "id": "2", "start": 3.0}]
    lines = [json.dumps(begun[0]), json.dumps({"id": "1", "end": 2.0, "got": 7}), json.dumps(begun[1])]
    lines += [json.dumps({"error": "no"})]
    operations, errors = parse_log([*(line + "\n" for line in lines), '{"id": "3", "ki'])
    assert [(op.id, op.got, op.is_answered) for op in operations] == [("1", 7, True), ("2", None, False)]
    assert errors == ["no"]
