"""Writes ``eval_suites/code.jsonl``: short Python programs, and the one line that each prints.

The programs are ours and run here, when the file is written; an evaluation runs no code at all. Run it after a
change here: ``python scripts/make_code_suite.py``; the seed keeps every other line as it was.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent.parent / "eval_suites" / "code.jsonl"
EACH = 48  # programs of one kind
WORDS = [
    "apple",
    "river",
    "stone",
    "cloud",
    "table",
    "green",
    "music",
    "paper",
    "light",
    "house",
    "bread",
    "chair",
    "ocean",
    "plant",
    "sugar",
    "tiger",
]


def kinds() -> list[Callable[[random.Random], str]]:
    """What the programs are about; each takes what it varies from the generator."""

    def numbers(rng: random.Random, count: int = 5) -> list[int]:
        return [rng.randint(1, 12) for _ in range(count)]

    def words(rng: random.Random, count: int = 3) -> list[str]:
        return rng.sample(WORDS, count)

    return [
        lambda r: f"print(sum({numbers(r)}))",
        lambda r: f"print(len(set({numbers(r, 6)})))",
        lambda r: f"print(sorted({numbers(r)})[{r.randint(0, 4)}])",
        lambda r: f"print([x * {r.randint(2, 5)} for x in {numbers(r, 3)}])",
        lambda r: f"print([x for x in {numbers(r)} if x % 2 == {r.randint(0, 1)}])",
        lambda r: f"print({words(r)}[{r.choice([0, 1, 2, -1, -2])}].upper())",
        lambda r: f'print("{r.choice(WORDS)}"[{r.randint(0, 2)}:{r.randint(3, 5)}])',
        lambda r: f'print("-".join({words(r)}))',
        lambda r: f"a, b = {r.randint(20, 99)}, {r.randint(3, 9)}\nprint(a // b, a % b)",
        lambda r: (
            f'd = {{"x": {r.randint(1, 40)}, "y": {r.randint(1, 40)}}}\nd["x"] += d["y"]\nprint(d["x"])'
        ),
        lambda r: (
            f"total = 0\nfor n in range({r.randint(1, 9)}, {r.randint(10, 18)}):\n    total += n\nprint(total)"
        ),
        lambda r: (
            f"def f(n):\n    return n * {r.randint(2, 9)} - {r.randint(1, 9)}\n\nprint(f({r.randint(2, 9)}))"
        ),
        lambda r: (
            f"x = {r.randint(1, 30)}\nif x > {r.randint(5, 25)}:\n    x = x - 5\nelse:\n    x = x * 2\nprint(x)"
        ),
        lambda r: f"print([a + b for a, b in zip({numbers(r, 3)}, {numbers(r, 3)})])",
        lambda r: f'print("{r.choice(WORDS)}" in {words(r, 4)})',
    ]


def printed(program: str) -> str:
    """What one of the programs above prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(program, {})
    return out.getvalue().strip()


def main() -> None:
    """Write the dataset."""
    rows = {}
    for number, kind in enumerate(kinds()):
        rng, own = random.Random(number), set()
        while len(own) < EACH:
            own.add(kind(rng))
        rows |= {program: printed(program) for program in sorted(own)}
    lines = [json.dumps({"program": program, "answer": answer}) for program, answer in rows.items()]
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{OUTPUT.name}: {len(lines)} items")


if __name__ == "__main__":
    main()
