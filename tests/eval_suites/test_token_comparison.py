"""Two models over the same tokens: the bound on KL beside exact KL, likeliest tokens, what was covered."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval_suites.token_comparison import Comparison, compare, first_difference
from tests.simulators.logprobs import Table, log_softmax, told

VOCABULARY = 50
SEEDS = st.integers(0, 10_000)


def drawn(seed: int, places: int = 6, scale: float = 3.0) -> Table:
    return np.random.default_rng(seed).normal(0, scale, (places, VOCABULARY))


def tokens_of(logits: Table) -> list[int]:
    """Any text with so many places."""
    return [int(token) for token in np.random.default_rng(1).integers(0, VOCABULARY, len(logits) + 1)]


def compared(before: Table, after: Table, k: int = 10) -> Comparison:
    tokens = tokens_of(before)
    return compare([told(tokens, before, k)], [told(tokens, after, k)])


def exact_kl(before: Table, after: Table) -> float:
    p, q = log_softmax(before), log_softmax(after)
    return float((np.exp(p) * (p - q)).sum())


@settings(max_examples=60)
@given(SEEDS, SEEDS, st.integers(1, VOCABULARY), st.floats(0.1, 6))
def test_the_bound_is_never_above_exact_kl(seed: int, other: int, k: int, scale: float) -> None:
    """For any two models, and never negative."""
    before, after = drawn(seed, scale=scale), drawn(other, scale=scale)
    kl = float(compared(before, after, k).kl[0])
    assert 0 <= kl <= exact_kl(before, after) + 1e-4


@settings(max_examples=30)
@given(SEEDS, SEEDS)
def test_with_all_tokens_the_bound_is_exact(seed: int, other: int) -> None:
    """And all of the baseline's probability is covered."""
    before, after = drawn(seed, scale=2), drawn(other, scale=2)
    result = compared(before, after, VOCABULARY)
    assert result.kl[0] == pytest.approx(exact_kl(before, after), rel=1e-3)
    assert result.mean(result.covered) == pytest.approx(1, abs=1e-5)


@settings(max_examples=30)
@given(SEEDS, st.integers(1, VOCABULARY))
def test_a_model_is_no_different_from_itself(seed: int, k: int) -> None:
    """Exactly."""
    result = compared(drawn(seed), drawn(seed), k)
    assert (result.kl[0], result.differing[0], result.loss[0]) == (0, 0, 0)


@settings(max_examples=30)
@given(SEEDS)
def test_more_damage_is_more_kl(seed: int) -> None:
    """Noise of the same direction, twice as large at each step."""
    sound, noise = drawn(seed, places=40), drawn(seed + 1, places=40, scale=1)
    kls = [float(compared(sound, sound + size * noise).kl[0]) for size in (0, 0.25, 0.5, 1, 2)]
    assert kls == sorted(kls)
    assert len(set(kls)) == len(kls)


def test_a_missing_token_goes_to_the_others() -> None:
    """By hand: the baseline's 0.9 is not among the candidate's two likeliest, and 0.05 are shared."""
    before, after = np.log([[0.9, 0.05, 0.03, 0.02]]), np.log([[0.01, 0.4, 0.02, 0.57]])
    result = compare([told([0, 1], before, 2)], [told([0, 1], after, 2)])
    expected = 0.05 * math.log(0.05 / 0.4) + 0.95 * math.log(0.95 / 0.6)
    assert result.kl[0] == pytest.approx(expected, abs=1e-6)
    assert result.covered[0] == pytest.approx(0.05)


def test_the_own_token_is_compared_even_when_unlikely() -> None:
    """Servers name it beside the likeliest k."""
    before, after = np.log([[0.9, 0.06, 0.04]]), np.log([[0.8, 0.15, 0.05]])
    result = compare([told([0, 2], before, 1)], [told([0, 2], after, 1)])
    assert result.covered[0] == pytest.approx(0.94)
    assert result.loss[0] == pytest.approx(math.log(0.04 / 0.05), abs=1e-6)


@pytest.mark.parametrize(
    ("before", "after", "differing"),
    [
        ([3.0, 1.0, 0.0], [2.0, 1.0, 0.0], 0),
        ([3.0, 1.0, 0.0], [1.0, 2.0, 0.0], 1),
        ([3.0, 3.0, 0.0], [1.0, 2.0, 0.0], 0),
        ([3.0, 1.0, 0.0], [2.0, 2.0, 0.0], 0),
        ([3.0, 3.0, 0.0], [0.0, 1.0, 2.0], 1),
    ],
)
def test_two_likeliest_tokens_agree_with_either(
    before: list[float], after: list[float], differing: int
) -> None:
    """Logits of 16 bits tie now and then."""
    result = compare([told([0, 1], np.array([before]), 2)], [told([0, 1], np.array([after]), 2)])
    assert result.differing[0] == differing


def test_texts_of_one_token_show_nothing() -> None:
    """The first token is never judged."""
    alone, other = told([3], np.zeros((0, VOCABULARY))), drawn(1)
    text = told(tokens_of(other), other)
    assert compare([alone, text, alone], [alone, text, alone]).places.tolist() == [6]
    assert compare([alone], [alone]).places.size == 0


def test_what_was_asked_before_does_not_count_again() -> None:
    """A template is the same question in every item: here three, and the last item is the first once more."""
    texts = [[1, 2, 3, 4], [1, 2, 3, 5, 6], [1, 2, 7], [8, 2, 3], [1, 2, 3, 4]]
    logits = [drawn(number, len(tokens) - 1) for number, tokens in enumerate(texts)]
    before = [told(tokens, table) for tokens, table in zip(texts, logits, strict=True)]
    after = [told(tokens, -table) for tokens, table in zip(texts, logits, strict=True)]
    result = compare(before, after)
    assert result.places.tolist() == [3, 1, 2]
    alone = compare([told([5, 6], logits[1][-1:])], [told([5, 6], -logits[1][-1:])])
    assert (result.kl[1], result.loss[1]) == pytest.approx((alone.kl[0], alone.loss[0]), rel=1e-5)


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), max_size=8))
def test_every_beginning_counts_once(texts: list[list[int]]) -> None:
    """As many places as there are different beginnings that something follows."""
    said = [told(tokens, drawn(0, len(tokens) - 1)) for tokens in texts]
    beginnings = {tuple(tokens[:end]) for tokens in texts for end in range(1, len(tokens))}
    assert compare(said, said).places.sum() == len(beginnings)


@pytest.mark.parametrize(
    ("one", "two", "place"),
    [([1, 2, 3], [1, 2, 3], None), ([1, 2, 3], [1, 4, 3], 1), ([1, 2], [1, 2, 3], 2), ([1], [2], 0)],
)
def test_the_first_other_token_is_found(one: list[int], two: list[int], place: int | None) -> None:
    """Or where one text ended."""
    texts = [told(tokens, drawn(0, len(tokens) - 1)) for tokens in (one, two)]
    assert first_difference(texts[0], texts[1]) == place


def test_other_tokens_cannot_be_compared() -> None:
    """Their places are not the same questions."""
    with pytest.raises(ValueError, match="different tokens"):
        compare([told([1, 2], drawn(0, 1))], [told([1, 3], drawn(0, 1))])
