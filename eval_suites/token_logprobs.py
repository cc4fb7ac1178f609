"""What a server says of a text it is given: of each token, which ones it would have expected. Pure.

Reads the form of vLLM's ``prompt_logprobs`` (completion protocol, 0.32): a list as long as the prompt, None
for its first token, then for each token a mapping from token ids, as text, to ``{"logprob", "rank",
"decoded_token"}``. It holds the likeliest k tokens and the text's own, which makes k + 1 where that one is
not among them. Kept as numpy arrays: 50 000 tokens of 21 pairs are 8 MB, and less when compressed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Logprobs = NDArray[np.float32]

ZERO = -9999.0
"""vLLM's word for the logarithm of 0, which JSON has none for; fills up places with fewer pairs, too."""

_NO_TOKEN = -1
_LAST_TOKEN = 2**31 - 1  # what int32 can hold
_ROUNDING = 0.01  # by which the probabilities of one place may sum up to more than 1
_FORM = {
    "lengths": "int32 1",
    "tokens": "int32 1",
    "actual": "float32 1",
    "ids": "int32 2",
    "logprobs": "float32 2",
}


@dataclass(frozen=True, eq=False)
class TextLogprobs:
    """A text of n tokens, and at each place from the second on the likeliest ones with the text's own.

    ``tokens`` [n] are ids; ``actual`` [n - 1] the own tokens' log probabilities, in nats; ``ids`` and
    ``logprobs`` [n - 1, k] the pairs, likeliest first, unused ones (-1, ``ZERO``). Raises ValueError for
    anything else.
    """

    tokens: Ids
    actual: Logprobs
    ids: Ids
    logprobs: Logprobs

    def __post_init__(self) -> None:
        problem = next(_problems(self), None)
        if problem:
            raise ValueError(f"these are no log probabilities of a text: {problem}")

    @classmethod
    def without_numbers(cls) -> TextLogprobs:
        """What is left when a probability was NaN: nothing, for a server cannot even send it."""
        return cls(np.empty(0, np.int32), np.empty(0, np.float32), *_table([]))

    @property
    def finite(self) -> bool:
        """Whether the server had numbers to say."""
        return self.tokens.size > 0

    @property
    def places(self) -> int:
        """How many tokens were judged: all but the first."""
        return self.actual.size


def parse_choice(choice: Mapping[str, Any]) -> TextLogprobs:
    """Read one choice of a completion with ``prompt_logprobs`` and ``return_token_ids``.

    Raises ValueError for any other form. A probability that is no number, or 0 for a token of the text,
    makes all of it ``without_numbers``: no sound model rules out what people write.
    """
    tokens, said = choice.get("prompt_token_ids"), choice.get("prompt_logprobs")
    if not isinstance(tokens, list) or not tokens or not all(map(_is_token, tokens)):
        raise ValueError(f"prompt_token_ids is no list of token ids but {str(tokens)[:40]!r}")
    if not isinstance(said, list) or len(said) != len(tokens) or said[0] is not None:
        raise ValueError(f"prompt_logprobs is no list of {len(tokens)}, None first, but {str(said)[:40]!r}")
    places = [_pairs(place) for place in said[1:]]
    missing = [token for token, pairs in zip(tokens[1:], places, strict=True) if token not in pairs]
    if missing:
        raise ValueError(f"prompt_logprobs says nothing of token {missing[0]}, which the text has")
    actual = [pairs[token] for token, pairs in zip(tokens[1:], places, strict=True)]
    if min(actual, default=0.0) <= ZERO or any(math.isnan(v) for pairs in places for v in pairs.values()):
        return TextLogprobs.without_numbers()
    return TextLogprobs(np.array(tokens, np.int32), np.array(actual, np.float32), *_table(places))


def to_bytes(texts: Sequence[TextLogprobs]) -> bytes:
    """All texts as one compressed npz archive, the same for the same texts; ``from_bytes`` reads it."""
    width = max((text.ids.shape[1] for text in texts), default=0)
    empty = TextLogprobs.without_numbers()
    arrays = {
        "lengths": np.array([text.tokens.size for text in texts], np.int32),
        "tokens": np.concatenate([empty.tokens, *(text.tokens for text in texts)]),
        "actual": np.concatenate([empty.actual, *(text.actual for text in texts)]),
        "ids": np.concatenate([_widened(text.ids, width, _NO_TOKEN) for text in (empty, *texts)]),
        "logprobs": np.concatenate([_widened(text.logprobs, width, ZERO) for text in (empty, *texts)]),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def from_bytes(data: bytes) -> tuple[TextLogprobs, ...]:
    """Read what ``to_bytes`` wrote; raises ValueError for anything else."""
    arrays = _read(data)
    lengths = arrays["lengths"].astype(np.int64)
    places = np.maximum(lengths - 1, 0)
    rows = dict.fromkeys(("actual", "ids", "logprobs"), places) | {"tokens": lengths}
    if (lengths < 0).any() or any(len(arrays[name]) != sizes.sum() for name, sizes in rows.items()):
        raise ValueError("kept log probabilities are damaged: the lengths do not fit")
    split = {name: np.split(arrays[name], np.cumsum(sizes))[:-1] for name, sizes in rows.items()}
    parts = zip(split["tokens"], split["actual"], split["ids"], split["logprobs"], strict=True)
    return tuple(TextLogprobs(*part) for part in parts)


def _pairs(place: Any) -> dict[int, float]:
    if not isinstance(place, dict) or not place:
        raise ValueError(f"a place of prompt_logprobs is no mapping but {str(place)[:40]!r}")
    return {_token(key): _logprob(value) for key, value in place.items()}


def _is_token(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LAST_TOKEN


def _token(key: Any) -> int:
    if not (isinstance(key, str) and key.isascii() and key.isdigit() and _is_token(int(key))):
        raise ValueError(f"{str(key)[:40]!r} is no token id")
    return int(key)


def _logprob(value: Any) -> float:
    logprob = value.get("logprob") if isinstance(value, dict) else None
    if isinstance(logprob, bool) or not isinstance(logprob, int | float):
        raise ValueError(f"{str(value)[:40]!r} has no log probability")
    return float(logprob)


def _table(places: Sequence[Mapping[int, float]]) -> tuple[Ids, Logprobs]:
    """The pairs of all places, likeliest first; those of probability 0 are left out."""
    rows = [sorted((-v, token) for token, v in pairs.items() if v > ZERO) for pairs in places]
    width = max(map(len, rows), default=0)
    ids = np.full((len(rows), width), _NO_TOKEN, np.int32)
    logprobs = np.full((len(rows), width), ZERO, np.float32)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = [token for _, token in row]
        logprobs[place, : len(row)] = [-negative for negative, _ in row]
    return ids, logprobs


def _problems(text: TextLogprobs) -> Iterator[str]:
    places = max(text.tokens.size - 1, 0)
    if text.tokens.ndim != 1 or text.actual.shape != (places,):
        yield f"{text.tokens.shape} tokens and {text.actual.shape} probabilities of theirs"
    elif text.ids.ndim != 2 or text.ids.shape[0] != places or text.logprobs.shape != text.ids.shape:
        yield f"{places} places, {text.ids.shape} token ids and {text.logprobs.shape} probabilities"
    elif not (np.isfinite(text.actual).all() and np.isfinite(text.logprobs).all()):
        yield "some are no numbers"
    elif places:
        yield from _place_problems(text)


def _place_problems(text: TextLogprobs) -> Iterator[str]:
    used = text.ids != _NO_TOKEN
    own = text.ids == text.tokens[1:, None]
    if (text.tokens < 0).any() or (text.ids < _NO_TOKEN).any() or (text.logprobs[~used] != ZERO).any():
        yield "token ids count from 0"
    elif (np.diff(text.logprobs, axis=1) > 0).any():
        yield "the likeliest do not come first"
    elif (np.exp(text.logprobs, dtype=np.float64).sum(axis=1) > 1 + _ROUNDING).any():
        yield "the probabilities at one place are more than 1 together"
    elif (own.sum(axis=1) != 1).any() or (text.logprobs[own] != text.actual).any():
        yield "the text's own token is not once among those of its place"


def _read(data: bytes) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as problem:  # zipfile, zlib and numpy have errors of their own for damaged bytes
        raise ValueError(f"kept log probabilities are damaged: {problem}") from problem
    form = {name: f"{array.dtype} {array.ndim}" for name, array in arrays.items()}
    if form != _FORM:
        raise ValueError(f"kept log probabilities are damaged: the arrays are {form}")
    return arrays


def _widened(table: NDArray[Any], width: int, filler: float) -> NDArray[Any]:
    return np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=filler)
