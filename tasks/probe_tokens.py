"""Ask a served model how likely each token of given texts is, for the fidelity gate, before the suite.

Costs one prefill per text and no decoding. vLLM leaves its prefix cache alone for such requests, so what was
asked before changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval_suites.probe_texts import LONGEST
from eval_suites.token_logprobs import TextLogprobs, parse_choice
from tasks.completions import Choice, complete_all
from tasks.serving import Endpoint

_LIKELIEST = 20  # of each place; the most that vLLM gives without --max-logprobs


def probe_settings(max_model_len: int) -> dict[str, Any]:
    """What goes with each text; texts are cut to what the model takes, and to ``LONGEST``.

    Give the least ``max_model_len`` of all models to be compared.
    """
    return {
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": _LIKELIEST,
        "return_token_ids": True,
        "truncate_prompt_tokens": min(LONGEST, max_model_len - 1),
        "truncation_side": "right",
    }


def probe_tokens(endpoint: Endpoint, texts: Sequence[str], max_model_len: int) -> tuple[TextLogprobs, ...]:
    """What the model says of each text, in their order.

    Raises InfrastructureError when the server does not answer for all texts.
    """
    settings = probe_settings(max_model_len)
    return complete_all(endpoint, texts, settings, _probed, "say how likely the tokens of a text are")


def _probed(_text: str, choice: Choice | None) -> TextLogprobs:
    return TextLogprobs.without_numbers() if choice is None else parse_choice(choice)
