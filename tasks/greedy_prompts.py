"""Ask a served model the fixed greedy prompts, for the sanity gate: seconds, before hours of evaluation."""

from __future__ import annotations

import math

from eval_suites.answers import MAX_TOKENS, Answer, load_prompts
from tasks.completions import Choice, complete_all
from tasks.serving import Endpoint

_NO_LOGPROB = -9999.0  # vLLM's word for minus infinity, which JSON has none for


def ask_prompts(endpoint: Endpoint, max_model_len: int) -> tuple[Answer, ...]:
    """The answers, in the prompts' order; raises InfrastructureError when the server does not give all."""
    settings = {
        "max_tokens": min(MAX_TOKENS, max_model_len // 2),
        "temperature": 0,
        "logprobs": 0,
        # By number: pieces of one character look alike as text.
        "return_tokens_as_token_ids": True,
    }
    return complete_all(endpoint, load_prompts(), settings, _answer, "answer a simple prompt")


def _answer(prompt: str, choice: Choice | None) -> Answer:
    if choice is None:
        return Answer(prompt, "", (), finite=False)
    logprobs = choice["logprobs"] or {"tokens": [], "token_logprobs": []}
    finite = all(map(_is_number, logprobs["token_logprobs"]))
    return Answer(prompt, choice["text"], tuple(logprobs["tokens"]), finite)


def _is_number(logprob: float | None) -> bool:
    return logprob is not None and math.isfinite(logprob) and logprob > _NO_LOGPROB
