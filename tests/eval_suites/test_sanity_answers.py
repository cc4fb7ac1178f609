"""The sanity gate on answers: silence, stutter, loops and NaN, each beside what the source says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_suites.answers import LOOP, Answer, load_prompts, longest_run, prompts_digest, repetition
from eval_suites.sanity_answers import judge_answers
from judging.verdict import FailureClass, Outcome, Verdict

PROMPTS = load_prompts()
TOKENS = st.lists(st.integers(0, 50), max_size=80)


def sound(prompt: str) -> Answer:
    return Answer(prompt, "It depends on the weather.", tuple("abcdefghijklmn"))


def stuck(prompt: str) -> Answer:
    return Answer(prompt, "!" * 64, ("token_id:0",) * 64)


def looping(prompt: str) -> Answer:
    return Answer(prompt, "and so on " * 20, ("and", "so", "on") * 20)


def silent(prompt: str) -> Answer:
    return Answer(prompt, " \n", ("token_id:2",))


def without_numbers(prompt: str) -> Answer:
    return Answer(prompt, "", (), finite=False)


SAID = {"sound": sound, "stuck": stuck, "looping": looping, "silent": silent, "nan": without_numbers}


def answers(kind: str, count: int = len(PROMPTS)) -> list[Answer]:
    """Answers to all prompts: the first so many of this kind, the others sound."""
    return [SAID[kind](p) if number < count else sound(p) for number, p in enumerate(PROMPTS)]


def outcome(verdict: Verdict, name: str) -> Outcome:
    return next(f.outcome for f in verdict.findings if f.name == name)


def test_a_model_that_speaks_as_its_source_does_passes() -> None:
    """All findings, with both counts."""
    verdict = judge_answers(answers("sound"), answers("sound"))
    assert verdict.passed
    assert [f.name for f in verdict.findings] == [
        *("probabilities", "empty answers", "stuck answers", "repetition"),
    ]


def test_exclamation_marks_without_end_are_a_fail() -> None:
    """vLLM 14126: activations overflow float16, and every token is the first of the vocabulary."""
    verdict = judge_answers(answers("stuck"), answers("sound"))
    assert outcome(verdict, "stuck answers") is Outcome.FAIL
    assert verdict.failure_class is FailureClass.MODEL
    assert f"stuck answers: {len(PROMPTS)} of {len(PROMPTS)}, and 0 of the source" in verdict.reasons()[0]
    assert "'!!!!!!" in verdict.reasons()[0]


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("stuck", "stuck answers", {0: "pass", 1: "inconclusive", 4: "inconclusive", 5: "fail"}),
        ("silent", "empty answers", {0: "pass", 2: "pass", 3: "inconclusive", 5: "fail"}),
        ("looping", "repetition", {0: "pass", 2: "pass", 6: "inconclusive", 20: "fail"}),
        ("nan", "probabilities", {0: "pass", 1: "fail"}),
    ],
)
def test_how_much_worse_than_its_source_a_model_may_be(
    kind: str, name: str, expected: dict[int, str]
) -> None:
    """A fail when chance is ruled out, no pass before, except for what sound models do now and then."""
    found = {
        count: str(outcome(judge_answers(answers(kind, count), answers("sound")), name)) for count in expected
    }
    assert found == expected


@pytest.mark.parametrize("kind", ["stuck", "silent", "looping"])
def test_what_the_source_does_as_well_is_no_harm(kind: str) -> None:
    """Tiny models loop: quantizing has not made them."""
    assert judge_answers(answers(kind), answers(kind)).passed


def test_loops_of_the_source_are_told() -> None:
    """The pass says how many there were on both sides."""
    verdict = judge_answers(answers("looping"), answers("looping", 20))
    message, bound = next((f.message, f.bound) for f in verdict.findings if f.name == "repetition")
    assert message == "endless repetition: 24 of 24 answers, and 20 of the source; 25 % more are allowed"
    assert bound == 20 + 24 / 4


def test_a_source_with_nan_of_its_own_proves_nothing() -> None:
    """Serving is at fault, or the model always was: neither a pass nor a fail."""
    verdict = judge_answers(answers("nan"), answers("nan", 3))
    found = next(f for f in verdict.findings if f.name == "probabilities")
    assert (found.outcome, found.failure_class) == (Outcome.INCONCLUSIVE, FailureClass.CONFIG)
    assert "serve.dtype" in found.message


def test_without_a_source_a_sound_one_is_assumed() -> None:
    """Weights that came quantized have none to be compared with."""
    assert judge_answers(answers("sound"), None).passed
    assert outcome(judge_answers(answers("stuck"), None), "stuck answers") is Outcome.FAIL


def test_no_answers_are_no_pass() -> None:
    """An error: nothing was measured."""
    assert judge_answers([], []).outcome is Outcome.ERROR


def test_answers_to_other_prompts_are_not_compared() -> None:
    """They would say nothing."""
    with pytest.raises(ValueError, match="different prompts"):
        judge_answers(answers("sound"), answers("sound")[1:])


@pytest.mark.parametrize(
    ("text", "tokens", "stuck"),
    [
        ("42", ("4", "2"), False),
        ("no no", ("no", "no"), False),
        ("- - - - - - - - -", tuple("- - - - - - - - -"), True),
        ("a b c " + "d" * 40, ("a", "b", "c", *("d",) * 8), True),
        ("Well... a fine answer with dots....", tuple("Well a fine answer with dots") + (".",) * 4, False),
    ],
)
def test_what_counts_as_stuck(text: str, tokens: tuple[str, ...], stuck: bool) -> None:
    """One character, or one token for half of the answer; not what is merely short."""
    assert Answer("p", text, tokens).is_stuck is stuck


def test_an_answer_survives_its_record() -> None:
    """What the cache keeps is what was said."""
    said = looping("What?")
    assert Answer.from_json(said.to_json()) == said
    assert len(set(PROMPTS)) == len(PROMPTS) == 24
    assert prompts_digest() == prompts_digest()


@given(TOKENS)
def test_repetition_is_a_share(tokens: list[int]) -> None:
    """Between 0 and 1, never reached."""
    assert 0 <= repetition(tokens) < 1


@given(st.lists(st.integers(), unique=True, max_size=80))
def test_tokens_that_never_come_again_repeat_nothing(tokens: list[int]) -> None:
    """A list of different tokens is no loop."""
    assert repetition(tokens) == 0


@given(TOKENS.filter(bool), st.integers(2, 10))
def test_saying_everything_once_more_only_adds_repetition(phrase: list[int], times: int) -> None:
    """Each further round is all old."""
    assert repetition(phrase * (times + 1)) >= repetition(phrase * times)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_a_phrase_without_end_is_a_loop(phrase: list[int]) -> None:
    """Phrases of up to twenty tokens, in the sixty-four of an answer."""
    tokens = (phrase * 64)[:64]
    assert repetition(tokens) >= LOOP
    assert Answer("p", "text", tuple(map(str, tokens))).is_loop


@given(TOKENS, st.permutations(range(51)))
def test_repetition_knows_no_words(tokens: list[int], renamed: list[int]) -> None:
    """Only whether tokens are the same counts, not which they are."""
    assert repetition([renamed[token] for token in tokens]) == repetition(tokens)


@given(TOKENS)
def test_the_longest_run_is_one_that_is_there(tokens: list[int]) -> None:
    """And no longer one is."""
    run = longest_run(tokens)
    windows = [tokens[start : start + run] for start in range(len(tokens) - run + 1)]
    longer = [tokens[start : start + run + 1] for start in range(len(tokens) - run)]
    assert run == 0 if not tokens else any(len(set(window)) == 1 for window in windows)
    assert not any(len(set(window)) == 1 for window in longer)
