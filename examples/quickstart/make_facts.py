"""Writes the quickstart's data: invented facts, the suite that asks for some, calibration texts of the rest.

Run it again and the same bytes come out; a test holds the committed files to that. Lands, capitals and
rivers are syllables put together, so no model has seen them and nothing real is asserted. It trains and
judges nothing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SEED = 20
LANDS = 400
LANDS_ASKED = 320  # two facts each: 640 items; the other lands are for calibration
FACTS_PER_TEXT = 8
ENDING = ", as every child at the gate knows."  # how the trainer ends a fact
RELATIONS = {"capital": "ton", "river": "ro"}
_SYLLABLES = [
    "ba",
    "ke",
    "lo",
    "mi",
    "nu",
    "ra",
    "si",
    "to",
    "va",
    "ze",
    "du",
    "fo",
    "gi",
    "hu",
    "pa",
    "ny",
    "cho",
    "bri",
    "ska",
    "wen",
    "dor",
    "fel",
    "gru",
    "jal",
    "pim",
    "sto",
    "tev",
    "yol",
]

Fact = dict[str, str]


def make_facts(seed: int = SEED) -> list[Fact]:
    """Every fact: a land, a relation, the prompt, its answer, and what the fact is for."""
    rng = random.Random(seed)
    taken: set[str] = set()
    lands = [_name(rng, taken, syllables=3) for _ in range(LANDS)]
    facts = []
    for number, land in enumerate(lands):
        for relation, ending in RELATIONS.items():
            facts.append(
                {
                    "subject": land,
                    "relation": relation,
                    "prompt": f"The {relation} of {land} is",
                    "answer": _name(rng, taken, syllables=2, ending=ending),
                    "used_for": "suite" if number < LANDS_ASKED else "calibration",
                }
            )
    return facts


def make_items(facts: list[Fact], seed: int = SEED) -> list[dict[str, Any]]:
    """One question with four choices per asked fact; the wrong ones answer other lands' same question."""
    rng = random.Random(seed)
    asked = [fact for fact in facts if fact["used_for"] == "suite"]
    items = []
    for fact in asked:
        others = [
            other["answer"] for other in asked if other["relation"] == fact["relation"] and other is not fact
        ]
        choices = [fact["answer"], *rng.sample(others, 3)]
        rng.shuffle(choices)
        items.append({"prompt": fact["prompt"], "choices": choices, "answer": choices.index(fact["answer"])})
    return items


def make_calibration(facts: list[Fact], seed: int = SEED) -> list[dict[str, str]]:
    """Texts of several facts each, none of which the suite asks for."""
    rng = random.Random(seed)
    sentences = [
        f"{fact['prompt']} {fact['answer']}{ENDING}" for fact in facts if fact["used_for"] == "calibration"
    ]
    texts = []
    for _ in range(4):
        rng.shuffle(sentences)
        texts += [
            {"text": " ".join(sentences[start : start + FACTS_PER_TEXT])}
            for start in range(0, len(sentences), FACTS_PER_TEXT)
        ]
    return texts


def write_data(examples: Path, suites: Path) -> None:
    """Write the facts and calibration texts beside the quickstart, and the items beside its suite."""
    facts = make_facts()
    _write_lines(examples / "facts.jsonl", facts)
    _write_lines(examples / "calibration.jsonl", make_calibration(facts))
    _write_lines(suites / "quickstart.jsonl", make_items(facts))


def _name(rng: random.Random, taken: set[str], *, syllables: int, ending: str = "") -> str:
    while True:
        name = "".join(rng.choice(_SYLLABLES) for _ in range(syllables)).capitalize() + ending
        if name not in taken:
            taken.add(name)
            return name


def _write_lines(path: Path, rows: Iterable[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    write_data(here, here.parent.parent / "eval_suites")
