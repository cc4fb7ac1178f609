"""Ask a served model how likely each token of given texts is, for the fidelity gate, before the suite.

Costs one prefill per text and no decoding. vLLM leaves its prefix cache alone for such requests, so what was
asked before changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from eval_suites.probe_texts import LONGEST
from eval_suites.token_logprobs import TextLogprobs, parse_choice
from registry.errors import InfrastructureError
from tasks.serving import Endpoint

_LIKELIEST = 20  # of each place; the most that vLLM gives without --max-logprobs
_AT_ONCE = 8  # requests
_TIMEOUT = 600.0  # seconds an answer may take; a large model on processors needs minutes
_SHOWN = 300  # characters of an error of the server
# What vLLM answers with when it has NaN to send. Nothing else makes JSON of a completion impossible.
_NOT_JSON = "not JSON compliant"


def probe_tokens(endpoint: Endpoint, texts: Sequence[str], max_model_len: int) -> tuple[TextLogprobs, ...]:
    """What the model says of each text, in their order; texts are cut to what it takes, and to ``LONGEST``.

    Give the least ``max_model_len`` of all models to be compared. Raises InfrastructureError when the server
    does not answer for all texts.
    """
    tokens = min(LONGEST, max_model_len - 1)
    try:
        with httpx.Client(base_url=endpoint.base_url, timeout=_TIMEOUT) as client:

            def ask(text: str) -> TextLogprobs:
                return _ask(client, endpoint.model, text, tokens)

            with ThreadPoolExecutor(_AT_ONCE) as threads:
                return tuple(threads.map(ask, texts))
    except (httpx.HTTPError, KeyError, IndexError, TypeError, ValueError) as problem:
        raise InfrastructureError(
            f"the server of the {endpoint.model} did not say how likely the tokens of a text are",
            why=f"{type(problem).__name__}: {problem}",
            next_step=f"read serve-{endpoint.model}.log in the run's folder, and run the same command again",
        ) from problem


def _ask(client: httpx.Client, model: str, text: str, tokens: int) -> TextLogprobs:
    request = {
        "model": model,
        "prompt": text,
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": _LIKELIEST,
        "return_token_ids": True,
        "truncate_prompt_tokens": tokens,
        "truncation_side": "right",
    }
    reply = client.post("/v1/completions", json=request)
    if reply.is_error and _NOT_JSON in reply.text:
        return TextLogprobs.without_numbers()
    if reply.is_error:
        raise ValueError(f"it answered {reply.status_code}: {reply.text[:_SHOWN]}")
    return parse_choice(reply.json()["choices"][0])
