"""The fidelity gate's texts, asked of a server over HTTP that answers as vLLM does, faults included."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval_suites.fidelity import Limits, judge_fidelity
from eval_suites.probe_texts import LONGEST
from eval_suites.token_logprobs import TextLogprobs
from registry.errors import InfrastructureError
from tasks.probe_tokens import probe_tokens
from tasks.serving import Endpoint
from tests.simulators.engine import Handler
from tests.simulators.logprobs import Table, choice

VOCABULARY = 128
TEXTS = [f"Item {number} is {'very ' * (number % 7)}good" for number in range(120)]


@cache
def logits(noise: float) -> Table:
    """Of each token after each other one."""
    table = np.random.default_rng(3).normal(0, 4, (VOCABULARY, VOCABULARY))
    return np.asarray(table + noise * np.random.default_rng(4).normal(0, 1, table.shape))


class Server(ThreadingHTTPServer):
    """A model of characters; ``noise`` is what quantizing did to it."""

    daemon_threads = True

    def __init__(self, handler: type[Probed], noise: float) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.noise = noise
        self.asked: list[dict[str, Any]] = []


class Probed(Handler):
    """vLLM: a token for the beginning, then one for each character."""

    server: Server  # type: ignore[assignment]

    def do_POST(self) -> None:  # noqa: N802 - the name is that of http.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        tokens = [1, *map(ord, body["prompt"])][: body["truncate_prompt_tokens"]]
        self.answer(choice(tokens, logits(self.server.noise)[tokens[:-1]], body["prompt_logprobs"]))

    def answer(self, said: dict[str, Any]) -> None:
        self._reply(200, {"choices": [said]})


class NoJson(Probed):
    """With NaN to send: its JSON writer refuses, and the server answers with that."""

    def answer(self, said: dict[str, Any]) -> None:
        message = "Out of range float values are not JSON compliant: nan"
        self._reply(400, {"error": {"message": message, "code": 400}})


class Impossible(Probed):
    """A token of the text had no probability at all; vLLM says -9999 for minus infinity."""

    def answer(self, said: dict[str, Any]) -> None:
        next(iter(said["prompt_logprobs"][1].values()))["logprob"] = -9999.0
        super().answer(said)


class TooMany(Probed):
    """A server that was started with a lower --max-logprobs."""

    def answer(self, said: dict[str, Any]) -> None:
        message = "Requested prompt logprobs of 20, which is greater than max allowed: 5"
        self._reply(400, {"error": {"message": message, "code": 400}})


class Other(Probed):
    """A server that knows nothing of prompt_logprobs."""

    def answer(self, said: dict[str, Any]) -> None:
        super().answer({"text": "x", "prompt_logprobs": None})


class Dead(Probed):
    """A server whose engine has died."""

    def answer(self, said: dict[str, Any]) -> None:
        self._reply(500, {"error": {"message": "boom", "code": 500}})


class Passing(Probed):
    """A server that does not answer a text the first time, in one way or another that may pass."""

    ways = (429, 500, 502, 503, 504, None)

    def answer(self, said: dict[str, Any]) -> None:
        prompts = [body["prompt"] for body in self.server.asked]
        text = "".join(map(chr, said["prompt_token_ids"][1:]))
        if prompts.count(text) > 1:
            return super().answer(said)
        status = self.ways[TEXTS.index(text) % len(self.ways)]
        if status:
            return self._reply(status, {"error": {"message": "later"}})
        self.close_connection = True  # without a word
        return None


class Cut(Probed):
    """A server that goes away in the middle of an answer."""

    def answer(self, said: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.close_connection = True


class NoChoice(Probed):
    """A server of something else."""

    def answer(self, said: dict[str, Any]) -> None:
        self._reply(200, {"choices": []})


@contextmanager
def served(handler: type[Probed] = Probed, noise: float = 0.0) -> Iterator[tuple[Endpoint, Server]]:
    """A simulated server on a free port."""
    server = Server(handler, noise)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Endpoint(f"http://127.0.0.1:{server.server_address[1]}", "candidate", Path()), server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def probed(handler: type[Probed] = Probed, noise: float = 0.0, **how: Any) -> tuple[TextLogprobs, ...]:
    with served(handler, noise) as (endpoint, _):
        return probe_tokens(endpoint, how.pop("texts", TEXTS[:9]), how.pop("max_model_len", 2048))


def test_each_text_is_probed_in_order() -> None:
    """Token by token, with 20 pairs at a place and the own token's where it is not among them."""
    said = probed()
    assert [text.tokens.tolist() for text in said] == [[1, *map(ord, text)] for text in TEXTS[:9]]
    assert {text.ids.shape[1] for text in said} == {21}
    assert all(text.finite for text in said)


def test_the_request_is_one_that_vllm_knows() -> None:
    """One token of answer, which it must write, and greedy."""
    with served() as (endpoint, server):
        probe_tokens(endpoint, TEXTS[:1], 2048)
    assert server.asked == [
        {
            "model": "candidate",
            "prompt": TEXTS[0],
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 20,
            "return_token_ids": True,
            "truncate_prompt_tokens": LONGEST,
            "truncation_side": "right",
        }
    ]


@pytest.mark.parametrize(("max_model_len", "tokens"), [(16, 15), (600, LONGEST)])
def test_long_texts_are_cut_by_the_server(max_model_len: int, tokens: int) -> None:
    """So that there is room for the token it must write."""
    assert probed(texts=["a" * 5000], max_model_len=max_model_len)[0].tokens.size == tokens


def test_a_damaged_model_is_told_from_its_baseline() -> None:
    """From what it says of the tokens alone; a sound one is not."""
    baseline, again = probed(texts=TEXTS), probed(texts=TEXTS)
    alike, damaged = probed(noise=0.05, texts=TEXTS), probed(noise=2, texts=TEXTS)
    assert judge_fidelity(baseline, alike, again, Limits(coverage=0), 0.05).passed
    assert str(judge_fidelity(baseline, damaged, again, Limits(), 0.05).outcome) == "fail"


@pytest.mark.parametrize("handler", [NoJson, Impossible])
def test_probabilities_that_are_no_numbers_are_what_the_model_said(handler: type[Probed]) -> None:
    """NaN ends in an error of the server, minus infinity in a number of its own."""
    assert not any(text.finite for text in probed(handler))


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (TooMany, "it answered 400: .*greater than max allowed: 5"),
        (Other, "prompt_token_ids is no list"),
        (NoChoice, "it has not the form it should have"),
        (Dead, "it answered 500: .*boom"),
        (Cut, "peer closed connection"),
    ],
)
def test_a_server_that_cannot_say_is_no_fault_of_the_model(handler: type[Probed], reason: str) -> None:
    """What it said instead is in the error, with its log."""
    with pytest.raises(InfrastructureError, match=reason) as error:
        probed(handler)
    assert "serve-candidate.log" in error.value.next_step


def test_what_may_pass_is_asked_again() -> None:
    """Overload, a restart behind a proxy, a connection that broke: every text is answered in the end."""
    with served(Passing) as (endpoint, server):
        said = probe_tokens(endpoint, TEXTS[:18], 2048)
    assert [text.tokens.tolist() for text in said] == [[1, *map(ord, text)] for text in TEXTS[:18]]
    assert len(server.asked) == 2 * 18


def test_what_may_not_pass_is_asked_once() -> None:
    """It would be the same again: another request, or a model with no numbers to say."""
    for handler in (TooMany, NoJson):
        with served(handler) as (endpoint, server):
            with suppress(InfrastructureError):
                probe_tokens(endpoint, TEXTS[:1], 2048)
            assert len(server.asked) == 1


def test_a_server_that_is_gone_is_no_fault_of_the_model() -> None:
    """Nobody listens."""
    with served() as (endpoint, _):
        pass
    with pytest.raises(InfrastructureError, match="did not say how likely"):
        probe_tokens(endpoint, TEXTS[:1], 2048)


def test_no_texts_are_no_requests() -> None:
    """And no answers."""
    assert probed(texts=[]) == ()
