"""What vLLM would say of texts to a model whose distributions are known in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval_suites.token_logprobs import TextLogprobs, parse_choice

Table = NDArray[np.float64]


def log_softmax(logits: Table) -> Table:
    """[..., vocabulary] in nats."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def choice(tokens: Sequence[int], logits: Table, k: int) -> dict[str, Any]:
    """A completion's choice: n tokens, and ``logits`` [n - 1, vocabulary] of those after the first.

    In vLLM's order, which is the text's own token first, then the likeliest.
    """
    logprobs = log_softmax(logits).astype(np.float32)
    places: list[dict[str, Any] | None] = [None]
    for token, row in zip(tokens[1:], logprobs, strict=True):
        likeliest = [int(at) for at in np.argsort(-row, kind="stable")[:k]]
        ranks = {token: int((row >= row[token]).sum())} | {at: n for n, at in enumerate(likeliest, 1)}
        places.append(
            {
                str(at): {"logprob": float(row[at]), "rank": rank, "decoded_token": f"t{at}"}
                for at, rank in ranks.items()
            }
        )
    return {"text": "", "prompt_token_ids": list(tokens), "prompt_logprobs": places}


def told(tokens: Sequence[int], logits: Table, k: int = 20) -> TextLogprobs:
    """The same, as it is read."""
    return parse_choice(choice(tokens, logits, k))
