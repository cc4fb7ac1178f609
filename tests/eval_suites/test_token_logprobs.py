"""What a server says of a text: read strictly, kept compactly, and the same again when read back."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval_suites.token_logprobs import ZERO, TextLogprobs, from_bytes, parse_choice, to_bytes
from tests.simulators.logprobs import choice, told

VOCABULARY = 7


@st.composite
def texts(draw: st.DrawFn) -> TextLogprobs:
    """Of one to six tokens, with up to nine pairs at a place."""
    tokens = draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=6))
    logits = np.random.default_rng(draw(st.integers(0, 99))).normal(0, 3, (len(tokens) - 1, VOCABULARY))
    return told(tokens, logits, draw(st.integers(1, VOCABULARY)))


def kept(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def arrays_of(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data)) as archive:
        return {name: archive[name] for name in archive.files}


def two_tokens(**pairs: float) -> dict[str, Any]:
    """The choice of the text 1 2, with pairs written as t2=-0.5."""
    place = {key[1:]: {"logprob": value, "rank": 1, "decoded_token": "x"} for key, value in pairs.items()}
    return {"prompt_token_ids": [1, 2], "prompt_logprobs": [None, place]}


SAMPLE = told([1, 2, 3], np.random.default_rng(0).normal(0, 2, (2, VOCABULARY)), k=3)


def test_an_answer_in_the_form_of_vllm_is_read() -> None:
    """Two tokens; the own one, number 9, is not among the two likeliest and so makes a third pair."""
    said = two_tokens(t9=-4.5, t4=-0.25, t7=-1.75)
    said["prompt_token_ids"] = [1, 9]
    text = parse_choice(json.loads(json.dumps(said)))
    assert (text.tokens.tolist(), text.actual.tolist()) == ([1, 9], [-4.5])
    assert (text.ids.tolist(), text.logprobs.tolist()) == ([[4, 7, 9]], [[-0.25, -1.75, -4.5]])
    assert (text.finite, text.places) == (True, 1)


@given(st.lists(texts(), max_size=4))
def test_what_is_kept_is_read_back(some: list[TextLogprobs]) -> None:
    """Token by token; the same bytes for the same texts, whatever the width that they were kept with."""
    data = to_bytes(some)
    back = from_bytes(data)
    assert to_bytes(back) == data
    for text, again in zip(some, back, strict=True):
        width = text.ids.shape[1]
        assert np.array_equal(text.tokens, again.tokens)
        assert np.array_equal(text.actual, again.actual)
        assert np.array_equal(text.ids, again.ids[:, :width])
        assert np.array_equal(text.logprobs, again.logprobs[:, :width])


def test_texts_without_numbers_are_kept_as_such() -> None:
    """Among others, and alone."""
    assert [t.finite for t in from_bytes(to_bytes([SAMPLE, TextLogprobs.without_numbers(), SAMPLE]))] == [
        *(True, False, True)
    ]
    assert [t.finite for t in from_bytes(to_bytes([TextLogprobs.without_numbers()]))] == [False]


def test_fifty_thousand_tokens_stay_a_few_megabytes() -> None:
    """20 pairs at each place, of a vocabulary of 128 000; a tenth of them here."""
    random = np.random.default_rng(0)
    logprobs = np.sort(random.gumbel(-8, 1.5, (4999, 20)).astype(np.float32))[:, ::-1].clip(None, -3)
    ids = random.integers(0, 6000, (4999, 20), dtype=np.int32) + np.arange(20, dtype=np.int32) * 6400
    text = TextLogprobs(np.append(0, ids[:, 0]).astype(np.int32), logprobs[:, 0], ids, logprobs)
    assert len(to_bytes([text])) < 700_000


@pytest.mark.parametrize(
    "said",
    [
        two_tokens(t2=float("nan")),
        two_tokens(t2=-0.5, t3=float("nan")),
        two_tokens(t2=ZERO, t3=-0.5),
        two_tokens(t2=float("-inf"), t3=-0.5),
    ],
)
def test_a_probability_that_is_no_number_leaves_none(said: dict[str, Any]) -> None:
    """Nor may a text's own token be impossible."""
    assert not parse_choice(said).finite


def test_an_impossible_token_beside_the_own_one_is_left_out() -> None:
    """Vocabularies are padded with tokens that a model masks."""
    assert parse_choice(two_tokens(t2=-0.5, t3=ZERO)).ids.tolist() == [[2]]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, "prompt_token_ids"),
        ({"prompt_token_ids": [], "prompt_logprobs": []}, "prompt_token_ids"),
        ({"prompt_token_ids": [1, True], "prompt_logprobs": [None, {}]}, "prompt_token_ids"),
        ({"prompt_token_ids": [-1], "prompt_logprobs": [None]}, "prompt_token_ids"),
        ({"prompt_token_ids": [2**40], "prompt_logprobs": [None]}, "prompt_token_ids"),
        ({"prompt_token_ids": [1, 2], "prompt_logprobs": None}, "list of 2"),
        ({"prompt_token_ids": [1, 2], "prompt_logprobs": [None]}, "list of 2"),
        ({"prompt_token_ids": [1], "prompt_logprobs": [{}]}, "None first"),
        ({"prompt_token_ids": [1, 2], "prompt_logprobs": [None, None]}, "no mapping"),
        ({"prompt_token_ids": [1, 2], "prompt_logprobs": [None, {}]}, "no mapping"),
        ({"prompt_token_ids": [1, 2], "prompt_logprobs": [None, {"2": -0.5}]}, "no log probability"),
        ({"prompt_token_ids": [1, 2], "prompt_logprobs": [None, {"2": {"logprob": True}}]}, "no log prob"),
        ({"prompt_token_ids": [1, 2], "prompt_logprobs": [None, {"2": {"logprob": "-1"}}]}, "no log prob"),
        (two_tokens(ttwo=-0.5), "no token id"),
        (two_tokens(t3=-0.5), "nothing of token 2"),
        (two_tokens(t2=0.5), "more than 1"),
        (two_tokens(t2=float("inf")), "no numbers"),
        (two_tokens(t2=-0.1, t3=-0.2), "more than 1"),
    ],
)
def test_any_other_answer_is_refused(said: dict[str, Any], reason: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(ValueError, match=reason):
        parse_choice(said)


@pytest.mark.parametrize(
    "damage",
    [
        {"lengths": np.array([4], np.int32)},
        {"lengths": np.array([-1, 4], np.int32)},
        {"lengths": np.array([], np.int32)},
        {"lengths": np.array([3], np.int64)},
        {"tokens": SAMPLE.tokens[None]},
        {"tokens": -SAMPLE.tokens},
        {"tokens": SAMPLE.tokens[::-1].copy()},
        {"actual": SAMPLE.actual - 1},
        {"actual": SAMPLE.actual * np.float32("nan")},
        {"ids": SAMPLE.ids[:, :1]},
        {"ids": np.full_like(SAMPLE.ids, -1)},
        {"ids": np.repeat(SAMPLE.tokens[1:, None], SAMPLE.ids.shape[1], axis=1)},
        {"logprobs": SAMPLE.logprobs[:, ::-1].copy()},
        {"logprobs": SAMPLE.logprobs[:1]},
        {"logprobs": np.zeros_like(SAMPLE.logprobs)},
        {"more": SAMPLE.tokens},
        {"tokens": np.array([{}, {}, {}])},
    ],
)
def test_damaged_arrays_are_refused(damage: dict[str, Any]) -> None:
    """However they do not fit."""
    arrays = arrays_of(to_bytes([SAMPLE]))
    with pytest.raises(ValueError, match=r"no log probabilities|damaged"):
        from_bytes(kept({**arrays, **damage}))


@settings(max_examples=60)
@given(st.data())
def test_damaged_bytes_are_refused_or_read_as_they_were(data: st.DataObject) -> None:
    """One byte changed, or the end cut off: never another error, and never other numbers."""
    whole = to_bytes([SAMPLE])
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(st.sampled_from([whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]]))
    try:
        back = from_bytes(damaged)
    except ValueError:
        return
    assert to_bytes(back) == whole


@pytest.mark.parametrize("data", [b"", b"PK", b"{}", np.zeros(3).tobytes(), kept({})])
def test_other_bytes_are_refused(data: bytes) -> None:
    """Nothing, something, and an archive of nothing."""
    with pytest.raises(ValueError, match="damaged"):
        from_bytes(data)


def test_a_table_alone_is_refused() -> None:
    """numpy would read it as an array."""
    buffer = io.BytesIO()
    np.save(buffer, SAMPLE.tokens)
    with pytest.raises(ValueError, match="damaged"):
        from_bytes(buffer.getvalue())


def test_choices_of_the_simulator_have_the_form_of_vllm() -> None:
    """The own token first, k others, ranks from 1."""
    place = choice([0, 3], np.array([[3.0, 2.0, 1.0, 0.0]]), 2)["prompt_logprobs"][1]
    assert list(place) == ["3", "0", "1"]
    assert [pair["rank"] for pair in place.values()] == [4, 1, 2]
