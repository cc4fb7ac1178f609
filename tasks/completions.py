"""Ask a served model many things at once, and say it in one way when it does not answer.

What may pass is tried again, as the suite's own client does: one request in a thousand that a busy server
drops is no reason to begin again. ``httpx`` tries again only what could not connect.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx

from registry.data_errors import worded
from registry.errors import InfrastructureError
from tasks.serving import Endpoint

_AT_ONCE = 8  # requests
_TIMEOUT = 600.0  # seconds an answer may take; a large model on processors needs minutes
_PAUSES = (0.5, 1.0, 2.0)  # seconds before each further try
_MAY_PASS = (429, 500, 502, 503, 504)
_SHOWN = 300  # characters of an error of the server
# What vLLM answers with when it has NaN to send. Nothing else makes JSON of a completion impossible.
_NOT_JSON = "not JSON compliant"

Choice = dict[str, Any]
AnswerT = TypeVar("AnswerT")


def complete_all(
    endpoint: Endpoint,
    prompts: Sequence[str],
    settings: dict[str, Any],
    read: Callable[[str, Choice | None], AnswerT],
    failed: str,
) -> tuple[AnswerT, ...]:
    """What is read from the choice that the model answers each prompt with, in the prompts' order.

    ``settings`` go with every request; ``read`` gets None where the answer has numbers that are none. Raises
    InfrastructureError, in which ``failed`` says what was not done, when the server does not give all.
    """
    try:
        with httpx.Client(base_url=endpoint.base_url, timeout=_TIMEOUT) as client:

            def ask(prompt: str) -> AnswerT:
                return read(prompt, _choice(client, {"model": endpoint.model, "prompt": prompt, **settings}))

            with ThreadPoolExecutor(_AT_ONCE) as threads:
                return tuple(threads.map(ask, prompts))
    except (httpx.HTTPError, KeyError, IndexError, TypeError, ValueError) as problem:
        raise InfrastructureError(
            f"the server of the {endpoint.model} did not {failed}",
            why=worded(problem),
            next_step=f"read serve-{endpoint.model}.log in the run's folder, and run the same command again",
        ) from problem


def _choice(client: httpx.Client, request: dict[str, Any]) -> Choice | None:
    reply = _reply(client, request)
    if reply.is_error and _NOT_JSON in reply.text:
        return None
    if reply.is_error:
        raise ValueError(f"it answered {reply.status_code}: {reply.text[:_SHOWN]}")
    choice: Choice = reply.json()["choices"][0]
    return choice


def _reply(client: httpx.Client, request: dict[str, Any]) -> httpx.Response:
    """The first reply that is final, or the last; silence for ``_TIMEOUT`` is final too."""
    for pause in _PAUSES:
        try:
            reply = client.post("/v1/completions", json=request)
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            pass  # the last try says it
        else:
            if reply.status_code not in _MAY_PASS or _NOT_JSON in reply.text:
                return reply
        time.sleep(pause)
    return client.post("/v1/completions", json=request)
