"""Whether a model knows more than guessing is decided exactly, and by passages where items share them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from judging.chance import above_chance, binomial_tail


def test_the_binomial_tail_is_exact() -> None:
    """Against the sum of the textbook formula."""
    for n, p in itertools.product((1, 7, 40), (0.1, 0.25, 0.9)):
        for k in range(n + 1):
            exact = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
            assert binomial_tail(k, n, p) == pytest.approx(exact)


def test_above_chance_is_decided_by_the_exact_tail() -> None:
    """Of 600 items at chance 25 %, 169 right are significant and 168 are not."""
    assert binomial_tail(169, 600, 0.25) <= 0.05 < binomial_tail(168, 600, 0.25)
    assert above_chance([1.0] * 169 + [0.0] * 431, 0.25, 0.05)
    assert not above_chance([1.0] * 168 + [0.0] * 432, 0.25, 0.05)


@pytest.mark.parametrize("values", [[], [0.0] * 600])
def test_nothing_is_never_above_chance(values: list[float]) -> None:
    """No scores, or none right, is not above a chance of zero either."""
    assert not above_chance(values, 0.0, 0.05)


def test_partial_scores_can_be_above_chance() -> None:
    """The Bernstein bound serves scores that are not right-or-wrong."""
    assert above_chance([0.5, 0.6] * 200, 0.4, 0.05)
    assert not above_chance([0.5, 0.6] * 10, 0.4, 0.05)


@pytest.mark.parametrize("size", [5, 10, 50])
def test_passages_that_are_known_as_a_whole_prove_no_knowledge_item_by_item(size: int) -> None:
    """600 items right at the limit, in passages: at most 5 % of 400 seeded models seem to be above."""
    rng = np.random.default_rng(5)
    passages = [item // size for item in range(600)]
    known = rng.random((400, 600 // size)).repeat(size, axis=1) < 0.27
    found = [above_chance(right.astype(float), 0.27, 0.05, passages) for right in known]
    assert np.mean(found) <= 0.05


def test_knowledge_of_many_passages_is_seen() -> None:
    """Half of 120 passages are known, where guessing knows a quarter."""
    right = [1.0] * 300 + [0.0] * 300
    assert above_chance(right, 0.27, 0.05, [item // 5 for item in range(600)])
