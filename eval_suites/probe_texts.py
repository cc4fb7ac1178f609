"""Which texts two models are compared on, token by token: a suite's own items with their right answers. Pure.

What the suite asks is what the model is for, so no second dataset is needed. The order is drawn by hashing
the seed with each text: the same on every machine, and a text that joins or leaves the suite moves no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from eval_suites.dataset import read_rows, solved
from eval_suites.suite import Suite
from eval_suites.suite_spec import LocalTask
from registry.digest import Digest

TOKENS = 50_000
"""About how many are probed: enough for a standard error of a few per cent of a 4-bit model's KL."""

LONGEST = 512
"""Tokens of one text that are looked at. A server holds the logits of a whole text at once while it answers:
512 x 150 000 x 4 bytes are 300 MB, and more texts are better evidence than longer ones."""

_BYTES_PER_TOKEN = 4  # of UTF-8; only the server knows better, and the count need not be exact


def probe_texts(suite: Suite, seed: int, tokens: int = TOKENS) -> tuple[str, ...]:
    """Each item's prompt and right answer, joined by one space; in seeded order, up to about ``tokens``.

    Four bytes count as a token, and at most ``LONGEST`` tokens of a text: the last text may go beyond.
    """
    texts = sorted(set(_texts(suite)), key=lambda text: Digest.of_json([seed, text]).hex)
    return tuple(text for text, before in zip(texts, _tokens_before(texts), strict=False) if before < tokens)


def texts_digest(texts: Sequence[str]) -> Digest:
    """Changes with any text, and with their order."""
    return Digest.of_json(list(texts))


def _texts(suite: Suite) -> Iterator[str]:
    for task in suite.tasks:
        yield from task.texts
        if isinstance(spec := task.spec, LocalTask):
            yield from (solved(spec, row) for row in read_rows(task.rows, task.name))


def _tokens_before(texts: Sequence[str]) -> Iterator[float]:
    sizes = (min(LONGEST, len(text.encode()) / _BYTES_PER_TOKEN) for text in texts)
    return accumulate(sizes, initial=0.0)
