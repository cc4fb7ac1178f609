"""Checks what many writers saw of a registry against what one writer after the other could have seen. Pure.

A history is linearizable when each operation can be given a moment between its start and its end, such
that in the order of these moments every answer is right. The registry keeps the order of alias moves
itself, as a chain; so the moments are found, or proven not to exist, in one walk along the chain.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any


@dataclass(frozen=True)
class Operation:
    """What a writer asked and was answered, in seconds of one clock; a killed writer's last has no end.

    ``publish``: wanted content, got its number. ``find``: wanted number, got its content or None.
    ``move``: wanted [alias, number], got True. ``read``: got the number of moves so far. ``name`` is the
    model.
    """

    id: str
    kind: str
    name: str
    start: float
    wanted: Any = None
    end: float = inf
    got: Any = None

    @property
    def is_answered(self) -> bool:
        """Whether the writer was told the outcome."""
        return self.end < inf


def parse_log(lines: Iterable[str]) -> tuple[list[Operation], list[str]]:
    """The operations in a writer's log, and the errors it met; a killed writer's last line may be cut."""
    operations: dict[str, Operation] = {}
    errors = []
    for line in lines:
        if not line.endswith("\n"):
            continue
        entry = json.loads(line)
        if "error" in entry:
            errors.append(entry["error"])
        elif "end" in entry:
            operations[entry["id"]] = replace(operations[entry["id"]], **entry)
        else:
            operations[entry["id"]] = Operation(**entry)
    return list(operations.values()), errors


def duplicate_numbers(operations: Iterable[Operation]) -> int:
    """Numbers given to two contents of a model, and contents given two numbers."""
    pairs = {(op.name, op.wanted, op.got) for op in operations if op.kind == "publish" and op.is_answered}
    pairs |= {(op.name, op.got, op.wanted) for op in operations if op.kind == "find" and op.got}
    contents = Counter((name, number) for name, _, number in pairs)
    numbers = Counter((name, content) for name, content, _ in pairs)
    return sum(count > 1 for count in (*contents.values(), *numbers.values()))


def lost_versions(operations: Sequence[Operation]) -> int:
    """Look-ups that found nothing under a number somebody had been told before, or had found."""
    known: dict[tuple[str, int], float] = defaultdict(lambda: inf)
    for op in operations:
        if op.is_answered and op.kind == "publish":
            known[op.name, op.got] = min(known[op.name, op.got], op.end)
        elif op.is_answered and op.kind == "find" and op.got:
            known[op.name, op.wanted] = min(known[op.name, op.wanted], op.end)
    return sum(
        op.kind == "find" and op.is_answered and not op.got and known[op.name, op.wanted] < op.start
        for op in operations
    )


def lost_moves(chain: Sequence[tuple[str, Mapping[str, Any]]], operations: Iterable[Operation]) -> int:
    """Moves whose mover was told they were made, and that the chain lacks or has twice.

    ``chain`` is the id of the operation that made each move, and the aliases after it. A move to where
    the alias is already makes no entry: then the alias must have been there at some time in between.
    """
    times = Counter(id_ for id_, _ in chain)
    found = {op.id: op for op in operations if op.kind == "move"}
    missing = [op for op in found.values() if op.is_answered and not times[op.id]]
    lost = sum(not _was_there(op, chain, found) for op in missing)
    return lost + sum(count > 1 for count in times.values()) + sum(id_ not in found for id_ in times)


def misplaced(chain: Sequence[tuple[str, Mapping[str, Any]]], operations: Iterable[Operation]) -> int:
    """Moves and reads of one model that fit no moment between their start and their end.

    Raises nothing: a read of a move that is not in the chain counts as well.
    """
    found = {op.id: op for op in operations}
    reads: dict[int, list[Operation]] = defaultdict(list)
    for op in found.values():
        if op.kind == "read" and op.is_answered:
            reads[op.got].append(op)
    wrong = sum(len(ops) for number, ops in reads.items() if number > len(chain))
    moment = -inf
    for number in range(len(chain) + 1):
        move = found.get(chain[number - 1][0]) if number else None
        if move:
            moment = max(moment, move.start)
            wrong += moment > move.end
        wrong += sum(max(moment, read.start) > read.end for read in reads[number])
        moment = max([moment, *(read.start for read in reads[number])])
    return wrong


def _was_there(
    move: Operation, chain: Sequence[tuple[str, Mapping[str, Any]]], found: Mapping[str, Operation]
) -> bool:
    alias, number = move.wanted
    over = [i for i, (id_, _) in enumerate(chain, 1) if id_ in found and found[id_].end < move.start]
    begun = [i for i, (id_, _) in enumerate(chain, 1) if id_ in found and found[id_].start <= move.end]
    states = [after for _, after in chain[max([*over, 1]) - 1 : max([*begun, 0])]]
    return any(after.get(alias) == number for after in states)
