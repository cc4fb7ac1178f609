"""What a served model answered to the fixed greedy prompts, and when an answer is none. Pure.

Three ways in which broken weights show at once: nothing at all; one token or character again and again, as
``!!!!`` when numbers overflow (vLLM issue 14126); the same words in an endless loop. Greedy decoding makes
sound models loop, too (Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020), so what
a loop means is for ``sanity`` to say, which has the answers of the unquantized source to compare with.

A loop is measured as seq-rep-4 of Welleck et al. ("Neural Text Generation with Unlikelihood Training", ICLR
2020): the share of an answer's 4-grams that were there before.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.digest import Digest

PROMPTS = Path(__file__).resolve().parent / "sanity_prompts.jsonl"
MAX_TOKENS = 64
"""Of an answer. Room for a sentence to come three times; the end of an answer means nothing."""

LOOP = 0.5
"""From this share of repeated 4-grams on an answer is a loop: a half of it, or more, was there before."""

_GRAM = 4  # tokens
_RUN = 8  # tokens or characters; what is shorter can be an answer


@dataclass(frozen=True)
class Answer:
    """A prompt, the text and the tokens that came, and whether all their probabilities are numbers."""

    prompt: str
    text: str
    tokens: tuple[str, ...]
    finite: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing came but white space."""
        return not self.text.strip()

    @property
    def is_stuck(self) -> bool:
        """Whether one token makes up half of it without a break, or one character all of it."""
        letters = "".join(self.text.split())
        run = longest_run(self.tokens)
        return (len(letters) >= _RUN and len(set(letters)) == 1) or run >= max(_RUN, len(self.tokens) / 2)

    @property
    def is_loop(self) -> bool:
        """Whether half of its 4-grams, or more, were there before."""
        return repetition(self.tokens) >= LOOP

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        return {
            "prompt": self.prompt,
            "text": self.text,
            "tokens": list(self.tokens),
            "finite": self.finite,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Answer:
        """Read a mapping written by ``to_json``; raises KeyError otherwise."""
        return cls(value["prompt"], value["text"], tuple(value["tokens"]), value["finite"])


def load_prompts() -> tuple[str, ...]:
    """The fixed prompts: short beginnings in several languages and formats, for any model."""
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    return tuple(json.loads(line)["prompt"] for line in lines)


def prompts_digest() -> Digest:
    """Changes whenever what is asked does."""
    return Digest.of_json({"prompts": list(load_prompts()), "max_tokens": MAX_TOKENS})


def repetition(tokens: Sequence[Hashable]) -> float:
    """The share of 4-grams that were there before: from 0 (also for fewer than five) towards 1."""
    grams = [tuple(tokens[start : start + _GRAM]) for start in range(len(tokens) - _GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def longest_run(tokens: Sequence[Hashable]) -> int:
    """How often, at most, one token comes in a row."""
    longest, run = 0, 0
    for before, token in zip((None, *tokens), tokens, strict=False):
        run = run + 1 if token == before else 1
        longest = max(longest, run)
    return longest
