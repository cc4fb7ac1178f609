"""The fidelity gate: damage is caught, noise is not, and what cannot be compared is no verdict on a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from eval_suites.fidelity import Limits, judge_fidelity, kl_by_text
from eval_suites.fidelity_report import to_markdown
from eval_suites.token_comparison import compare
from eval_suites.token_logprobs import TextLogprobs
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from tests.simulators.logprobs import Table, log_softmax, told

VOCABULARY, TEXTS = 40, 150
LIMITS = Limits()
Texts = tuple[TextLogprobs, ...]


@cache
def said(noise: float, seed: int = 0, texts: int = TEXTS, k: int = 20, favour: float = 0) -> Texts:
    """Of texts that the baseline wrote itself, by a model whose logits are the baseline's with noise.

    Some texts suffer more than others: the noise of each is drawn, lognormal with sigma 0.5. ``favour`` is
    added to the logits of the tokens that were written.
    """
    baseline, own = np.random.default_rng(1), np.random.default_rng(seed)
    found = []
    for _ in range(texts):
        tokens, logits = written(baseline)
        logits += noise * own.lognormal(0, 0.5) * own.normal(0, 1, logits.shape)
        logits[range(len(logits)), tokens[1:]] += favour
        found.append(told(tokens, logits, k))
    return tuple(found)


def written(baseline: np.random.Generator) -> tuple[list[int], Table]:
    """A text drawn from what the baseline expects, and its logits."""
    logits = baseline.normal(0, 4, (int(baseline.integers(4, 16)), VOCABULARY))
    below = np.cumsum(np.exp(log_softmax(logits)), axis=1) > baseline.random((len(logits), 1))
    return [0, *map(int, below.argmax(axis=1))], logits


def judged(
    candidate: Sequence[TextLogprobs], again: Sequence[TextLogprobs] | None = None, limits: Limits = LIMITS
) -> Verdict:
    return judge_fidelity(said(0), candidate, again if again is not None else said(0), limits, 0.05)


def finding(verdict: Verdict, name: str) -> Finding:
    return next(f for f in verdict.findings if f.name == f"fidelity/{name}")


def outcomes(verdict: Verdict) -> list[str]:
    return [str(f.outcome) for f in verdict.findings]


def test_the_baseline_itself_passes() -> None:
    """With no difference at all."""
    verdict = judged(said(0))
    assert verdict.passed
    assert [f.name for f in verdict.findings] == ["fidelity/kl", "fidelity/agreement", "fidelity/perplexity"]
    assert [f.candidate for f in verdict.findings] == [0, 1, 1]
    assert [f.bound for f in verdict.findings] == pytest.approx([0.15, 0.85, 1.15])


def test_a_little_noise_passes_and_much_fails() -> None:
    """As 8-bit weights are to 2-bit ones; the sentences say what was compared."""
    assert judged(said(0.2, seed=5)).passed
    verdict = judged(said(1.5, seed=5))
    assert outcomes(verdict) == ["fail", "fail", "fail"]
    assert verdict.failure_class is FailureClass.MODEL
    for name, words in (
        ("kl", "KL per token: 0."),
        ("agreement", "same likeliest token: "),
        ("perplexity", "ratio of perplexities: 2."),
    ):
        message = finding(verdict, name).message
        assert words in message
        assert "tokens of 150 texts" in message
        assert "beyond the limit" in message


def test_a_sentence_says_where_the_true_figure_lies() -> None:
    """The smaller bound first, also where more is better."""
    for found in judged(said(0.4, seed=5)).findings:
        value, low, high = (float(number) for number in re.findall(r"\d+\.\d+", found.message)[:3])
        assert low < value < high


def test_more_damage_never_looks_better() -> None:
    """Each figure gets worse from step to step."""
    verdicts = [judged(said(noise, seed=5)) for noise in (0.1, 0.4, 0.8, 1.6)]
    for name, sign in (("kl", 1), ("agreement", -1), ("perplexity", 1)):
        values = [sign * (finding(verdict, name).candidate or 0) for verdict in verdicts]
        assert values == sorted(values)


def test_kl_is_told_text_by_text_where_it_can_be() -> None:
    """Each text's mean per token; none where a verdict is an error for it."""
    seen, found = compare(said(0), said(0.3)), kl_by_text(said(0), said(0.3))
    assert len(found) == seen.places.size
    assert np.average(found, weights=seen.places) == pytest.approx(seen.mean(seen.kl))
    assert kl_by_text(said(0), said(0.3)[1:] + said(0.3)[:1]) == []


def test_a_few_tokens_without_a_difference_are_no_certainty() -> None:
    """So many agree by chance as well where one in a thousand differs; with more of them it is shown."""
    verdict = judged(said(0), limits=replace(LIMITS, agreement=0.999))
    assert outcomes(verdict) == ["pass", "inconclusive", "pass"]
    found = finding(verdict, "agreement")
    assert "same likeliest token: 100.00 %, between 99." in found.message
    assert "and 100.00 %" in found.message
    assert "too few texts" in found.message
    assert judged(said(0), limits=replace(LIMITS, agreement=0.99)).passed


def test_what_lies_at_the_limit_is_inconclusive() -> None:
    """Too few texts to tell, and no one is at fault."""
    seen = compare(said(0), said(0.6, seed=5))
    limits = Limits(
        kl=seen.mean(seen.kl),
        agreement=1 - seen.mean(seen.differing),
        perplexity=float(np.exp(seen.mean(seen.loss))),
    )
    verdict = judged(said(0.6, seed=5), limits=limits)
    assert outcomes(verdict) == ["inconclusive"] * 3
    assert "too few texts" in finding(verdict, "kl").message
    assert verdict.failure_class is None


def test_the_noise_of_the_baseline_is_no_fault_of_the_candidate() -> None:
    """A server that is never twice the same: the candidate is like its baseline, and differs as much."""
    candidate, again = said(0.3, seed=6), said(0.3, seed=5)
    seen, noise = compare(said(0), candidate), compare(said(0), again)
    limits = replace(LIMITS, kl=0.95 * seen.mean(seen.kl), agreement=1 - 1.1 * seen.mean(seen.differing))
    alone, excused = judged(candidate, limits=limits), judged(candidate, again, limits)
    for name in ("kl", "agreement"):
        assert finding(alone, name).outcome is Outcome.INCONCLUSIVE
        assert finding(excused, name).outcome is Outcome.PASS
    kl = finding(excused, "kl")
    assert kl.baseline == noise.mean(noise.kl)
    assert kl.bound == pytest.approx(limits.kl + noise.mean(noise.kl))


def test_noise_does_not_excuse_damage() -> None:
    """It adds to the limit and takes nothing off the proof."""
    assert judged(said(1.5, seed=5), said(0.2, seed=6)).outcome is Outcome.FAIL


def test_a_baseline_that_is_all_noise_decides_nothing() -> None:
    """Or the damage of any candidate would be within it."""
    verdict = judged(said(1.5, seed=5), said(1.5, seed=6))
    assert outcomes(verdict) == ["inconclusive"] * 3
    assert "differs from itself" in finding(verdict, "agreement").message


@pytest.mark.parametrize("favour", [-0.1, 0.1])
def test_noise_counts_by_its_size_whatever_its_direction(favour: float) -> None:
    """A baseline that does better the second time widens the limit as one that does worse."""
    again = said(0, favour=favour)
    noise = compare(said(0), again)
    found = finding(judged(said(0), again), "perplexity")
    assert (noise.mean(noise.loss) > 0) is (favour < 0)
    assert found.baseline == pytest.approx(np.exp(abs(noise.mean(noise.loss))))
    assert found.bound == pytest.approx(1.15 * (found.baseline or 0))
    assert found.candidate == pytest.approx(1)
    assert found.outcome is Outcome.PASS


def test_without_coverage_kl_says_nothing_and_the_others_do() -> None:
    """A single token of each place is known: too little for KL, enough for the rest."""
    args = (said(0, k=1), said(1.5, seed=5, k=1), said(0, k=1), LIMITS, 0.05)
    verdict = judge_fidelity(*args)
    assert outcomes(verdict) == ["inconclusive", "fail", "fail"]
    assert "less than the 90 % that a verdict on KL needs" in finding(verdict, "kl").message
    sound = judge_fidelity(said(0, k=1), said(0, k=1), said(0, k=1), LIMITS, 0.05)
    assert outcomes(sound) == ["inconclusive", "pass", "pass"]


def test_other_tokens_are_an_error_of_the_configuration() -> None:
    """The first text that has them is named, and from where on."""
    texts = list(said(0))
    texts[7] = told([0, 1, 2], np.zeros((2, VOCABULARY)))
    verdict = judged(texts)
    assert (verdict.outcome, verdict.failure_class) == (Outcome.ERROR, FailureClass.CONFIG)
    assert verdict.reasons()[0].startswith(
        "text 8 is other tokens to the candidate than to the baseline, from"
    )
    assert judged(said(0), texts).failure_class is FailureClass.CONFIG


@pytest.mark.parametrize("side", [0, 1, 2])
def test_probabilities_that_are_no_numbers_are_an_error(side: int) -> None:
    """The model's only where the candidate alone has them; the counts say of which side they are."""
    sides = [list(said(0)) for _ in range(3)]
    sides[side][3] = TextLogprobs.without_numbers()
    verdict = judge_fidelity(sides[0], sides[1], sides[2], LIMITS, 0.05)
    at_fault = FailureClass.MODEL if side == 1 else FailureClass.CONFIG
    assert (verdict.outcome, verdict.failure_class) == (Outcome.ERROR, at_fault)
    counts = [int(count) for count in (side == 0, side == 1, side == 2)]
    assert (
        "in {}, of the candidate in {}, of the baseline asked again in {};".format(*counts)
        in (verdict.reasons()[0])
    )


def test_a_handful_of_texts_decides_nothing() -> None:
    """Neither way; without any there is no evidence at all."""
    some = [texts[:99] for texts in (said(0), said(1.5, seed=5), said(0))]
    verdict = judge_fidelity(some[0], some[1], some[2], LIMITS, 0.05)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "only 99 texts" in verdict.reasons()[0]
    assert not judge_fidelity([], [], [], LIMITS, 0.05).passed


def test_other_counts_of_texts_are_a_mistake_of_the_caller() -> None:
    """Not of any model."""
    with pytest.raises(ValueError, match="150, 149 and 150 texts"):
        judged(said(0)[1:])


def test_figures_that_no_number_can_hold_are_no_surprise() -> None:
    """A candidate may call what people write as good as impossible."""
    ruined = tuple(
        told([int(token) for token in text.tokens], np.eye(VOCABULARY)[[-1] * text.places] * 2000.0)
        for text in said(0)
    )
    verdict = judged(ruined)
    assert verdict.outcome is Outcome.FAIL
    assert finding(verdict, "perplexity").outcome is Outcome.FAIL
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_error_rates_at_the_limit() -> None:
    """100 of 600 texts at a time, whose true figures equal the limits: alpha is 5 %, of 80 draws."""
    population = [said(noise, seed, 600) for noise, seed in ((0, 0), (0.6, 5), (0.1, 6))]
    seen, noise = (compare(population[0], other) for other in population[1:])
    limits = Limits(
        kl=seen.mean(seen.kl) - noise.mean(noise.kl),
        agreement=1 - seen.mean(seen.differing) + noise.mean(noise.differing),
        perplexity=float(np.exp(seen.mean(seen.loss) - abs(noise.mean(noise.loss)))),
    )
    random = np.random.default_rng(3)
    verdicts = []
    for _ in range(80):
        drawn = random.choice(600, 100, replace=False)
        base, candidate, again = ([side[at] for at in drawn] for side in population)
        verdicts.append(judge_fidelity(base, candidate, again, limits, 0.05))
    for name in ("kl", "agreement", "perplexity"):
        found = [finding(verdict, name).outcome for verdict in verdicts]
        assert found.count(Outcome.PASS) < 0.13 * len(found)
        assert found.count(Outcome.FAIL) < 0.13 * len(found)
    assert sum(verdict.passed for verdict in verdicts) < 0.08 * len(verdicts)


@pytest.mark.parametrize("noise", [0.2, 1.5])
def test_the_report_says_the_answer_first_and_every_figure(noise: float) -> None:
    """A row per figure, with what the source differs from itself by."""
    verdict = judged(said(noise, seed=5))
    lines = to_markdown(verdict).splitlines()
    assert lines[0] == f"# Fidelity gate: {verdict.outcome}"
    assert lines[4] == "| What | Outcome | Source with itself | Candidate | Bound | What was seen |"
    rows = [line for line in lines if line.startswith("| fidelity/")]
    assert all(f.message in row for f, row in zip(verdict.findings, rows, strict=True))
