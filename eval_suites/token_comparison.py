"""How far another model's predictions are from the baseline's, over the same tokens of the same texts. Pure.

What it means is for ``fidelity`` to say. Only the likeliest tokens of each place are known, so KL divergence
is a lower bound here, and ``covered`` says on how much of the baseline's probability it was measured. Random
weights spread it out: there 20 tokens cover 2 %, and the bound is 75 times too low.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval_suites.token_logprobs import ZERO, Logprobs, TextLogprobs

Figures = NDArray[np.float64]

_TAIL = 1e-6  # least probability of all other tokens together: a sum of float32 is no more exact


@dataclass(frozen=True)
class Comparison:
    """Sums over the new places of each of m texts, arrays [m].

    ``kl`` is a lower bound on KL(baseline || other), in nats; ``differing`` counts other likeliest tokens;
    ``loss`` is what the other loses in log-likelihood; ``covered`` the baseline's probability on tokens that
    both name.
    """

    places: Figures
    kl: Figures
    differing: Figures
    loss: Figures
    covered: Figures

    def mean(self, sums: Figures) -> float:
        """Per place, over all texts."""
        return float(sums.sum() / self.places.sum())


def compare(baseline: Sequence[TextLogprobs], other: Sequence[TextLogprobs]) -> Comparison:
    """What each text shows at places that no text before it had; texts without such places are left out.

    What a model expects depends on the tokens before alone, so items of one template ask the same question at
    every place up to where they part, and only the first of them counts. KL is summed over the tokens that
    both name and one bucket for all others: joining tokens never adds to KL (data processing inequality), so
    it is a lower bound whatever the others are. Raises ValueError where the two are about other tokens.
    """
    triples = zip(baseline, other, _asked_before(baseline), strict=True)
    rows = [_sums(before, after, start) for before, after, start in triples if start < before.places]
    return Comparison(*np.array(rows, np.float64).reshape(-1, 5).T)


def first_difference(baseline: TextLogprobs, other: TextLogprobs) -> int | None:
    """The first place, from 0, at which the tokens differ or one text has ended; None if there is none."""
    before, after = baseline.tokens, other.tokens
    common = min(before.size, after.size)
    differ = np.flatnonzero(before[:common] != after[:common])
    if differ.size:
        return int(differ[0])
    return None if before.size == after.size else common


def _asked_before(texts: Iterable[TextLogprobs]) -> Iterator[int]:
    """Of each text, how many of its places, from the first on, follow tokens that another text began with."""
    nodes: dict[
        tuple[int, int], int
    ] = {}  # a tree of beginnings: (number of a node, token) to number of a node
    for text in texts:
        node, known = 0, 0
        for token in text.tokens[:-1].tolist():
            known += (node, token) in nodes
            node = nodes.setdefault((node, token), len(nodes) + 1)
        yield known


def _sums(before: TextLogprobs, after: TextLogprobs, start: int) -> tuple[float, float, float, float, float]:
    if first_difference(before, after) is not None:
        raise ValueError("probabilities of different tokens cannot be compared")
    ids, logprobs, other_logprobs = before.ids[start:], before.logprobs[start:], after.logprobs[start:]
    same = (ids[:, :, None] == after.ids[start:, None, :]) & (logprobs > ZERO)[:, :, None]
    shared = same.any(axis=2)
    log_p = logprobs.astype(np.float64)
    log_q = np.take_along_axis(other_logprobs, same.argmax(axis=2), axis=1).astype(np.float64)
    p, q = (np.where(shared, np.exp(logs), 0.0) for logs in (log_p, log_q))
    kl = _bucketed_kl(p, q, log_p - log_q)
    loss = before.actual[start:].astype(np.float64) - after.actual[start:]
    agreed = _agreed(logprobs, other_logprobs, same)
    return len(ids), float(kl.sum()), float((~agreed).sum()), float(loss.sum()), float(p.sum())


def _agreed(before: Logprobs, after: Logprobs, same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Per place, whether a likeliest token of one is one of the other: bfloat16 logits tie now and then."""
    tops = [logprobs == logprobs[:, :1] for logprobs in (before, after)]
    return np.asarray((same & tops[0][:, :, None] & tops[1][:, None, :]).any(axis=(1, 2)))


def _bucketed_kl(p: Figures, q: Figures, log_ratio: Figures) -> Figures:
    """[n] from [n, k]: over the tokens with p > 0 and one bucket for the rest, never negative."""
    tail_p, tail_q = (np.maximum(1 - shares.sum(axis=1), _TAIL) for shares in (p, q))
    kl = (p * log_ratio).sum(axis=1) + tail_p * np.log(tail_p / tail_q)
    return np.asarray(np.maximum(kl, 0.0))
