"""The sanity gate's prompts, asked of a server over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eval_suites.answers import load_prompts
from eval_suites.sanity_answers import judge_answers
from registry.errors import InfrastructureError
from tasks.greedy_prompts import ask_prompts
from tasks.serving import Endpoint
from tests.simulators.engine import Engine, Handler, parse

PROMPTS = load_prompts()


class NoJson(Handler):
    """vLLM with NaN to send: its JSON writer refuses, and the server answers with that."""

    def _reply(self, status: int, value: dict[str, Any]) -> None:
        super()._reply(400, {"error": {"message": "Out of range float values are not JSON compliant"}})


class MinusInfinity(Handler):
    """vLLM with a token that had no probability at all."""

    def _reply(self, status: int, value: dict[str, Any]) -> None:
        logprobs = {"tokens": ["token_id:0"], "token_logprobs": [-9999.0]}
        super()._reply(status, {"choices": [{"text": "!", "logprobs": logprobs}]})


@contextmanager
def served(*knobs: str, handler: type[Handler] = Handler) -> Iterator[Endpoint]:
    """A simulated server on a free port."""
    server = Engine(parse(["--port", "0", *knobs]))
    server.RequestHandlerClass = handler
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Endpoint(f"http://127.0.0.1:{server.server_address[1]}", "candidate", Path())
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(*knobs: str, max_model_len: int = 2048, **how: Any) -> Any:
    with served(*knobs, **how) as endpoint:
        return ask_prompts(endpoint, max_model_len)


def test_every_prompt_is_answered_in_order_and_again_the_same() -> None:
    """Whoever comes first at the server."""
    first, second = asked(), asked()
    assert [answer.prompt for answer in first] == list(PROMPTS)
    assert first == second
    assert judge_answers(first, second).passed


def test_answers_leave_room_for_the_prompt() -> None:
    """A server of 32 tokens would refuse to write 64."""
    assert {len(answer.tokens) for answer in asked(max_model_len=32)} == {16}


def test_a_server_that_stutters_is_told_from_its_source() -> None:
    """From its answers alone."""
    assert str(judge_answers(asked("--stutter"), asked()).outcome) == "fail"


@pytest.mark.parametrize("handler", [NoJson, MinusInfinity])
def test_probabilities_that_are_no_numbers_are_part_of_the_answer(handler: type[Handler]) -> None:
    """NaN ends in an error of the server, minus infinity in a number of its own: both are the model's."""
    assert not any(answer.finite for answer in asked(handler=handler))


def test_a_server_that_fails_is_no_answer() -> None:
    """The model is not judged by it, and the log is named."""
    with pytest.raises(InfrastructureError, match=r"serve-candidate\.log"):
        asked("--dead")


def test_a_server_that_is_gone_is_no_answer() -> None:
    """Nobody listens."""
    with served() as endpoint:
        pass
    with pytest.raises(InfrastructureError, match="did not answer a simple prompt"):
        ask_prompts(endpoint, 2048)
