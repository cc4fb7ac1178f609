"""Does a served artefact still speak? Its answers to fixed greedy prompts, beside the source's own. Pure.

The unquantized source, asked the same on the same server, is the control: what it does as well is no harm
done by quantizing. Silence and stuttering come from broken weights and hardly ever by chance, so more of
them than the control has is a fail as soon as chance is ruled out (an exact sign test), and not passed
before that: of a stutter not one more, of an answer that ends at its first token a few. Loops come by
themselves in greedy decoding; there the margin of the house's paired test is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import comb

from eval_suites.answers import Answer
from judging.paired import non_inferiority
from judging.verdict import FailureClass, Finding, Outcome, Verdict

_ALPHA = 0.05  # one-sided
_STRAY = 2  # answers more than the source's that may be empty
_LOOPS = 0.25  # share of the prompts that may loop where the source does not
_SHOWN = 60  # characters of an answer


def judge_answers(candidate: Sequence[Answer], source: Sequence[Answer] | None) -> Verdict:
    """The verdict on answers to the same prompts in the same order; without a source a sound one is assumed.

    Raises ValueError for answers to other prompts.
    """
    control = source if source is not None else [_sound(answer) for answer in candidate]
    if [a.prompt for a in candidate] != [a.prompt for a in control]:
        raise ValueError("the two models were asked different prompts")
    if not candidate:
        return Verdict.of([])
    compared = "the source" if source is not None else "a sound model (there is no source to compare with)"
    return Verdict.of(
        [
            _numbers(candidate, control, compared),
            _speech("empty answers", lambda a: a.is_empty, _STRAY, candidate, control, compared),
            _speech("stuck answers", lambda a: a.is_stuck, 0, candidate, control, compared),
            _loops(candidate, control, compared),
        ]
    )


def _sound(answer: Answer) -> Answer:
    return Answer(answer.prompt, "a sound answer", ())


def _numbers(candidate: Sequence[Answer], control: Sequence[Answer], compared: str) -> Finding:
    """A probability that is no number is harm at once, unless the source has it too: then none is proven."""
    name = "probabilities"
    bad, before = (sum(not answer.finite for answer in answers) for answers in (candidate, control))
    figures = {"baseline": float(before), "candidate": float(bad), "bound": 0.0}
    said = f"probabilities that are no numbers: in {bad} of {len(candidate)}, and in {before} of {compared}"
    if not bad:
        return _finding(name, Outcome.PASS, "the probabilities of all tokens are numbers", figures)
    if before:
        open_yet = _finding(name, Outcome.INCONCLUSIVE, f"{said}; another serve.dtype may help both", figures)
        return replace(open_yet, failure_class=FailureClass.CONFIG)
    return _finding(name, Outcome.FAIL, said, figures)


def _speech(
    name: str,
    broken: Callable[[Answer], bool],
    stray: int,
    candidate: Sequence[Answer],
    control: Sequence[Answer],
    compared: str,
) -> Finding:
    pairs = [(broken(after), broken(before)) for after, before in zip(candidate, control, strict=True)]
    lost, gained = pairs.count((True, False)), pairs.count((False, True))
    before, after = (float(sum(pair[side] for pair in pairs)) for side in (1, 0))
    chance = _sign_test(lost, gained)
    open_yet = Outcome.INCONCLUSIVE if lost - gained > stray else Outcome.PASS
    outcome = Outcome.FAIL if chance <= _ALPHA else open_yet
    said = f"{name}: {after:g} of {len(pairs)}, and {before:g} of {compared}"
    if outcome is not Outcome.PASS:
        first = candidate[pairs.index((True, False))]
        shown = first.text[:_SHOWN]
        said += f"; by chance {chance:.2g}; to {first.prompt!r} it said {shown!r}"
    figures = {"baseline": before, "candidate": after, "bound": float(stray)}
    return _finding(name, outcome, said, figures)


def _sign_test(lost: int, gained: int) -> float:
    """How likely at least so many of the pairs that differ would be losses, were the two models alike."""
    flips = lost + gained
    return float(sum(comb(flips, k) for k in range(lost, flips + 1)) / 2**flips)


def _loops(candidate: Sequence[Answer], control: Sequence[Answer], compared: str) -> Finding:
    sound, kept = ([float(not answer.is_loop) for answer in answers] for answers in (control, candidate))
    result = non_inferiority(sound, kept, _LOOPS, _ALPHA)
    before, after = (len(values) - sum(values) for values in (sound, kept))
    said = (
        f"endless repetition: {after:g} of {len(candidate)} answers, and {before:g} of {compared}; "
        f"{100 * _LOOPS:g} % more are allowed"
    )
    figures = {"baseline": before, "candidate": after, "bound": before + _LOOPS * len(candidate)}
    return _finding("repetition", result.outcome, said, figures)


def _finding(name: str, outcome: Outcome, message: str, figures: dict[str, float]) -> Finding:
    failed = outcome in {Outcome.FAIL, Outcome.INCONCLUSIVE}
    failure = FailureClass.MODEL if failed else None
    return Finding(
        name=name,
        outcome=outcome,
        message=message,
        failure_class=failure,
        interval=None,
        unit=None,
        **figures,
    )
