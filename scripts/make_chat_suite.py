"""Writes ``eval_suites/chat.jsonl``: small instructions with exactly one right answer, of one line.

Run it after a change here: ``python scripts/make_chat_suite.py``; the seed keeps every other line as it was.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent.parent / "eval_suites" / "chat.jsonl"
EACH = 72  # instructions of one kind
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
NAMES = [
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Elena",
    "Farid",
    "Grace",
    "Hugo",
    "Irene",
    "Jonas",
    "Karim",
    "Lena",
    "Marco",
    "Nadia",
    "Oscar",
    "Petra",
]
GROUPS = {
    "an animal": ["dog", "cat", "horse", "sheep", "tiger", "rabbit", "eagle", "shark"],
    "a fruit": ["apple", "pear", "banana", "cherry", "grape", "lemon", "peach", "plum"],
    "a colour": ["red", "blue", "green", "yellow", "purple", "brown", "black", "white"],
    "a country": ["France", "Japan", "Brazil", "Egypt", "Canada", "Norway", "India", "Peru"],
}
COUNTED = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]

Question = tuple[str, str]
Kind = Callable[[random.Random], Question]


def capitals(rng: random.Random) -> Question:
    """Case."""
    words = rng.sample(WORDS, 2)
    return f"Write these two words in capital letters: {' '.join(words)}.", " ".join(words).upper()


def repeated(rng: random.Random) -> Question:
    """Counting while writing."""
    word, times = rng.choice(WORDS), rng.randint(2, 6)
    asked = f"Write the word {word} {COUNTED[times - 1]} times, with one space between the words."
    return asked, " ".join([word] * times)


def alphabetical(rng: random.Random) -> Question:
    """Order."""
    words = rng.sample(WORDS, 3)
    return f"Sort these words alphabetically, separated by commas: {', '.join(words)}.", ", ".join(
        sorted(words)
    )


def ascending(rng: random.Random) -> Question:
    """Order of numbers."""
    numbers = rng.sample(range(1, 100), 4)
    shown, right = (", ".join(map(str, n)) for n in (numbers, sorted(numbers)))
    return f"Sort these numbers from the smallest to the largest, separated by commas: {shown}.", right


def odd_one(rng: random.Random) -> Question:
    """Meaning."""
    kind, other = rng.sample(sorted(GROUPS), 2)
    wrong = rng.choice([word for word in GROUPS[other] if word not in GROUPS[kind]])
    words = rng.sample([*rng.sample(GROUPS[kind], 3), wrong], 4)
    return f"Which of these is not {kind}: {', '.join(words)}?", wrong


def address(rng: random.Random) -> Question:
    """Finding a detail."""
    name, host, day = rng.choice(NAMES), rng.choice(WORDS), rng.choice(["Monday", "Friday", "Sunday"])
    mail = f"{name.lower()}@{host}.example"
    text = f'"Please tell {name} by {day} whether you come; the address is {mail}, as always."'
    return f"What is the e-mail address in this message? {text}", mail


def person(rng: random.Random) -> Question:
    """Who did what."""
    first, second = rng.sample(NAMES, 2)
    thing = rng.choice(WORDS)
    return f"{first} gave the {thing} to {second}. Who has the {thing} now?", second


def sum_of(rng: random.Random) -> Question:
    """A sum in words, answered in digits."""
    a, b = rng.randint(1, 12), rng.randint(1, 12)
    return f"How much is {COUNTED[a - 1]} plus {COUNTED[b - 1]}? Write the number in digits.", str(a + b)


def last_word(rng: random.Random) -> Question:
    """Position."""
    words = rng.sample(WORDS, 5)
    return f"What is the last word of this list? {' '.join(words)}", words[-1]


KINDS: list[Kind] = [
    *(capitals, repeated, alphabetical, ascending, odd_one),
    *(address, person, sum_of, last_word),
]


def main() -> None:
    """Write the dataset."""
    rows: dict[str, str] = {}
    for kind in KINDS:
        rng, own = random.Random(kind.__name__), dict[str, str]()
        while len(own) < EACH:
            asked, answer = kind(rng)
            own[f"{asked} Answer with nothing else."] = answer
        rows |= own
    lines = [json.dumps({"instruction": asked, "answer": answer}) for asked, answer in rows.items()]
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{OUTPUT.name}: {len(lines)} items")


if __name__ == "__main__":
    main()
