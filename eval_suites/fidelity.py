"""Does a candidate still predict what its baseline does? The cheap gate before the suite, by token. Pure.

Accuracy hardly moves while answers already change; KL divergence and changed answers do ("Accuracy is Not
All You Need", arXiv 2407.09141). Three figures over the same tokens: KL, how often the likeliest token is the
same, and the ratio of perplexities. Of each, what the baseline shows against itself when measured a second
time is taken off, text by text: that is the noise of the server, and no fault of the candidate's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eval_suites.ratio_bounds import Bounds, bounds_by_text, share_bounds
from eval_suites.token_comparison import Comparison, compare, first_difference
from eval_suites.token_logprobs import TextLogprobs
from judging.verdict import FailureClass, Finding, Outcome, Verdict

_FEWEST = 100  # texts; with fewer the bounds promise more than they hold (see ratio_bounds)
_CANDIDATE = "the candidate"
_LARGEST_LOG = 700.0  # of a ratio that is still a number


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far a candidate may be from its baseline, on top of the noise of the baseline itself.

    The defaults let 4-bit weights through and stop what 2-bit and the worst 3-bit ones do. Llama 3 8B in the
    README of llama.cpp's perplexity tool, KL in nats and ratio of perplexities: 4-bit types 0.028-0.072 and
    1.02-1.08, q3_K_S 0.23 and 1.26, q2_K 0.45 and 1.56. Same top token: q4_K_M 91.9 %, q2_K 71 % (Llama 2 7B:
    94.7 and 85.6 %). Those are running text and 7B to 8B: measure each family of models on its own suite.
    """

    kl: float = 0.15  # nats per token
    agreement: float = 0.85  # least share of tokens with the same likeliest one
    perplexity: float = 1.15  # greatest ratio to the baseline's
    coverage: float = 0.9  # least share of the baseline's probability that KL is measured on


@dataclass(frozen=True, kw_only=True)
class _Figure:
    """One figure: its noise and limit per token, what such a value means to people, and how it is said."""

    name: str
    words: str
    noise: float
    limit: float
    means: Callable[[float], float]
    says: Callable[[float], str]


def judge_fidelity(
    baseline: Sequence[TextLogprobs],
    candidate: Sequence[TextLogprobs],
    again: Sequence[TextLogprobs],
    limits: Limits,
    alpha: float,
) -> Verdict:
    """The verdict on a candidate beside its baseline, ``again`` being the baseline measured once more.

    Passes what is within all limits, and fails what is beyond one, at an error rate of ``alpha`` each, or
    near it for KL and perplexity (``ratio_bounds`` has the figures). Raises ValueError when the three are not
    about equally many texts.
    """
    if not len(baseline) == len(candidate) == len(again):
        raise ValueError(f"{len(baseline)}, {len(candidate)} and {len(again)} texts cannot be compared")
    sides = {"the baseline": baseline, _CANDIDATE: candidate, "the baseline asked again": again}
    unfit = _no_numbers(sides) or _drift(sides)
    if unfit:
        return Verdict.of([unfit])
    seen, noise = compare(baseline, candidate), compare(baseline, again)
    if seen.places.size < _FEWEST:
        return Verdict.of([_too_few(seen.places.size)])
    judges = (_judge_kl, _judge_agreement, _judge_perplexity)
    return Verdict.of([judge(seen, noise, limits, alpha) for judge in judges])


def kl_by_text(baseline: Sequence[TextLogprobs], candidate: Sequence[TextLogprobs]) -> list[float]:
    """The mean KL per token of each text, in nats; empty where the two cannot be compared."""
    sides = {"the baseline": baseline, _CANDIDATE: candidate}
    if _no_numbers(sides) or _drift(sides):
        return []
    seen = compare(baseline, candidate)
    return [float(value) for value in seen.kl / seen.places]


def _judge_kl(seen: Comparison, noise: Comparison, limits: Limits, alpha: float) -> Finding:
    figure = _Figure(
        name="kl",
        words="KL per token",
        noise=noise.mean(noise.kl),
        limit=limits.kl,
        means=float,
        says=lambda value: f"{value:.3g} nats",
    )
    covered = seen.mean(seen.covered)
    known = f"the tokens compared hold {100 * covered:.1f} % of the baseline's probability"
    if covered < limits.coverage:
        known += f", less than the {100 * limits.coverage:g} % that a verdict on KL needs; the others hold"
    bounds = bounds_by_text(seen.kl - noise.kl, seen.places, alpha)
    return _finding(figure, bounds, seen, known, covered >= limits.coverage)


def _judge_agreement(seen: Comparison, noise: Comparison, limits: Limits, alpha: float) -> Finding:
    figure = _Figure(
        name="agreement",
        words="same likeliest token",
        noise=noise.mean(noise.differing),
        limit=1 - limits.agreement,
        means=lambda value: 1 - value,
        says=lambda value: f"{100 * (1 - value):.2f} %",
    )
    # Texts that show no difference have no spread, and would be taken for certain.
    by_text = bounds_by_text(seen.differing - noise.differing, seen.places, alpha)
    lower, upper = share_bounds(float(seen.differing.sum()), float(seen.places.sum()), alpha)
    return _finding(figure, by_text.widened(lower - figure.noise, upper - figure.noise), seen)


def _judge_perplexity(seen: Comparison, noise: Comparison, limits: Limits, alpha: float) -> Finding:
    drift = noise.mean(noise.loss)  # of the noise it is its size that counts, not its direction
    figure = _Figure(
        name="perplexity",
        words="ratio of perplexities",
        noise=abs(drift),
        limit=math.log(limits.perplexity),
        means=_ratio,
        says=lambda value: f"{_ratio(value):.4f}",
    )
    excess = seen.loss - math.copysign(1, drift) * noise.loss
    return _finding(figure, bounds_by_text(excess, seen.places, alpha), seen)


def _finding(
    figure: _Figure, bounds: Bounds, seen: Comparison, known: str = "", measured: bool = True
) -> Finding:
    outcome, why = _placed(figure, bounds)
    if not measured:
        outcome, why = Outcome.INCONCLUSIVE, ""
    value = figure.noise + bounds.estimate
    low, high = sorted((figure.noise + bounds.lower, figure.noise + bounds.upper), key=figure.means)
    said = (
        f"{figure.words}: {figure.says(value)}, between {figure.says(low)} and {figure.says(high)}",
        f"over {seen.places.sum():.0f} tokens of {seen.places.size} texts",
        f"the baseline with itself: {figure.says(figure.noise)}",
        known,
        why,
    )
    return Finding(
        name=f"fidelity/{figure.name}",
        outcome=outcome,
        message="; ".join(part for part in said if part),
        baseline=figure.means(figure.noise),
        candidate=figure.means(value),
        bound=figure.means(figure.limit + figure.noise),
        failure_class=FailureClass.MODEL if outcome is Outcome.FAIL else None,
    )


def _placed(figure: _Figure, bounds: Bounds) -> tuple[Outcome, str]:
    """Where the bounds are to the limit; noise above it would excuse anything, so it decides nothing."""
    limit = f"the limit with that noise: {figure.says(figure.limit + figure.noise)}"
    if figure.noise > figure.limit:
        said = "the baseline differs from itself by more than a candidate may; serve both without other load"
        return Outcome.INCONCLUSIVE, said
    if bounds.upper <= figure.limit:
        return Outcome.PASS, f"within {limit}"
    if bounds.lower > figure.limit:
        return Outcome.FAIL, f"beyond {limit}"
    return Outcome.INCONCLUSIVE, f"too few texts to place it on one side of {limit}"


def _no_numbers(sides: Mapping[str, Sequence[TextLogprobs]]) -> Finding | None:
    """The model's error if only the candidate has them; what its baseline does as well is no harm done."""
    bad = {who: sum(not text.finite for text in texts) for who, texts in sides.items()}
    if not any(bad.values()):
        return None
    counts = ", ".join(f"of {who} in {count}" for who, count in bad.items())
    said = (
        f"probabilities that are no numbers, in so many of the texts: {counts}; another serve.dtype may help"
    )
    own = sum(bad.values()) == bad[_CANDIDATE]
    return _error("numbers", said, FailureClass.MODEL if own else FailureClass.CONFIG)


def _drift(sides: Mapping[str, Sequence[TextLogprobs]]) -> Finding | None:
    (_, baseline), *others = sides.items()
    for who, texts in others:
        for number, (before, after) in enumerate(zip(baseline, texts, strict=True), 1):
            place = first_difference(before, after)
            if place is not None:
                said = (
                    f"text {number} is other tokens to {who} than to the baseline, from token {place + 1} on"
                )
                return _error("tokens", f"{said}; give both the same tokenizer files", FailureClass.CONFIG)
    return None


def _too_few(texts: int) -> Finding:
    said = (
        f"only {texts} texts could be compared, and {_FEWEST} are the fewest to judge by; probe more of them"
    )
    return Finding(name="fidelity/texts", outcome=Outcome.INCONCLUSIVE, message=said)


def _error(name: str, message: str, failure: FailureClass) -> Finding:
    return Finding(name=f"fidelity/{name}", outcome=Outcome.ERROR, message=message, failure_class=failure)


def _ratio(log_ratio: float) -> float:
    return math.exp(min(log_ratio, _LARGEST_LOG))
