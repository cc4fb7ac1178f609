"""Ask a served model the fixed greedy prompts, for the sanity gate: seconds, before hours of evaluation."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from eval_suites.answers import MAX_TOKENS, Answer, load_prompts
from registry.errors import InfrastructureError
from tasks.serving import Endpoint

_AT_ONCE = 8  # requests
_TIMEOUT = 600.0  # seconds an answer may take; a large model on processors needs minutes
_NO_LOGPROB = -9999.0  # vLLM's word for minus infinity, which JSON has none for
# What vLLM answers with when it has NaN to send. Nothing else makes JSON of a completion impossible.
_NOT_JSON = "not JSON compliant"


def ask_prompts(endpoint: Endpoint, max_model_len: int) -> tuple[Answer, ...]:
    """The answers, in the prompts' order; raises InfrastructureError when the server does not give all."""
    tokens = min(MAX_TOKENS, max_model_len // 2)
    try:
        with httpx.Client(base_url=endpoint.base_url, timeout=_TIMEOUT) as client:

            def ask(prompt: str) -> Answer:
                return _ask(client, endpoint.model, prompt, tokens)

            with ThreadPoolExecutor(_AT_ONCE) as threads:
                return tuple(threads.map(ask, load_prompts()))
    except (httpx.HTTPError, KeyError, IndexError, TypeError, ValueError) as problem:
        raise InfrastructureError(
            f"the server of the {endpoint.model} did not answer a simple prompt",
            why=f"{type(problem).__name__}: {problem}",
            next_step=f"read serve-{endpoint.model}.log in the run's folder, and run the same command again",
        ) from problem


def _ask(client: httpx.Client, model: str, prompt: str, tokens: int) -> Answer:
    request = {
        "model": model,
        "prompt": prompt,
        "max_tokens": tokens,
        "temperature": 0,
        "logprobs": 0,
        # By number: pieces of one character look alike as text.
        "return_tokens_as_token_ids": True,
    }
    reply = client.post("/v1/completions", json=request)
    if reply.is_error and _NOT_JSON in reply.text:
        return Answer(prompt, "", (), finite=False)
    reply.raise_for_status()
    choice: dict[str, Any] = reply.json()["choices"][0]
    logprobs = choice["logprobs"] or {"tokens": [], "token_logprobs": []}
    finite = all(map(_is_number, logprobs["token_logprobs"]))
    return Answer(prompt, choice["text"], tuple(logprobs["tokens"]), finite)


def _is_number(logprob: float | None) -> bool:
    return logprob is not None and math.isfinite(logprob) and logprob > _NO_LOGPROB
