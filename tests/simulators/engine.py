"""A small OpenAI-like server with faults: ``python engine.py --port N [knobs]``.

Streams server-sent events like vLLM (headers first, then tokens, usage, [DONE]) and fails on demand:
errors before the first byte, errors inside a 200 stream, a slow first token, a slow start, death or silence
after some requests, answers of one character, a memory for texts that is gone, or a health endpoint that
lies. It may take a few requests at
once only, let others wait or turn them away, and never be the same again after too many.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="engine")
    parser.add_argument("--start-delay", type=float, default=0.0, help="seconds before it listens")
    parser.add_argument("--ttft", type=float, default=0.005, help="seconds to the first token")
    parser.add_argument("--token-seconds", type=float, default=0.001)
    parser.add_argument("--error-rate", type=float, default=0.0, help="share of 500s before the first byte")
    parser.add_argument("--stream-error-rate", type=float, default=0.0, help="share of errors inside a 200")
    parser.add_argument("--die-after", type=int, default=0, help="requests until the process ends itself")
    parser.add_argument("--killed", action="store_true", help="it dies by SIGKILL, as from outside")
    parser.add_argument("--forgets", type=float, default=0.0, help="share of tokens it expects no longer")
    parser.add_argument("--nan", action="store_true", help="the probabilities of texts are no numbers")
    parser.add_argument("--hang-after", type=int, default=0, help="requests; those after get no answer")
    parser.add_argument("--at-once", type=int, default=1000, help="requests that are answered at a time")
    parser.add_argument("--queue", type=int, default=1000, help="requests that may wait; others get a 429")
    parser.add_argument("--tired-after", type=int, default=0, help="waiting requests that slow it for good")
    parser.add_argument("--stutter", action="store_true", help="every answer is !!!!!!!!")
    parser.add_argument("--dead", action="store_true", help="health says 200, completions say 500")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args(arguments)


class Engine(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(("127.0.0.1", options.port), Handler)
        self.options = options
        self.random = random.Random(options.seed)
        self.served = 0
        self.inside = 0
        self.tired = False
        self.lock = threading.Lock()
        self.places = threading.Semaphore(options.at_once)

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Whether there was one, to be answered or to wait; the block begins when it is this one's turn."""
        with self.lock:
            waiting = self.inside - self.options.at_once
            free = waiting < self.options.queue
            self.inside += free
            self.tired |= 0 < self.options.tired_after <= waiting
        if not free:
            yield False
            return
        try:
            with self.places:
                yield True
        finally:
            with self.lock:
                self.inside -= 1

    def draw(self) -> tuple[bool, bool]:
        """Whether this request fails before, and inside, its stream."""
        with self.lock:
            self.served += 1
            if self.options.die_after and self.served > self.options.die_after:
                if self.options.killed:
                    os.kill(os.getpid(), signal.SIGKILL)
                print("out of luck", flush=True)
                os._exit(9)
            hangs = 0 < self.options.hang_after < self.served
            early = self.options.dead or self.random.random() < self.options.error_rate
            inside = self.random.random() < self.options.stream_error_rate
        if hangs:
            threading.Event().wait()
        return early, inside


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Engine

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._reply(200, {"name": self.server.options.name})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        early, inside = self.server.draw()
        with self.server.place() as free:
            if not free:
                self._reply(429, {"error": {"message": "later", "code": 429}})
            elif early:
                self._reply(500, {"error": {"message": "boom", "code": 500}})
            elif body.get("stream"):
                self._stream(body, inside)
            elif "prompt_logprobs" in body:
                self._probe(body["prompt"])
            else:
                time.sleep(self.server.options.ttft)
                choice = _choice(body, self.server.options.stutter)
                self._reply(200, {"choices": [choice], "usage": _usage(body)})

    def _probe(self, text: str) -> None:
        """As vLLM says how likely it finds each token, which here is a character."""
        print("prompt_logprobs", flush=True)
        if self.server.options.nan:
            self._reply(400, {"error": {"message": "Out of range float values are not JSON compliant: nan"}})
        else:
            self._reply(200, {"choices": [_expected(text, self.server.options)]})

    def _reply(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, body: dict[str, Any], inside: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        time.sleep(self.server.options.ttft * (5 if self.server.tired else 1))
        for index in range(int(body.get("max_tokens", 8))):
            if inside and index == 1:
                self._event({"error": {"message": "EngineCore encountered an issue", "code": 500}})
                break
            self._event({"choices": [{"text": f"{index} "}], "system_fingerprint": self.server.options.name})
            time.sleep(self.server.options.token_seconds)
        else:
            self._event({"choices": [], "usage": _usage(body)})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, value: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _choice(body: dict[str, Any], stutter: bool) -> dict[str, Any]:
    """The same answer to the same prompt: tokens by number, as if they were asked for so."""
    drawn = random.Random(str(body.get("prompt", "")))
    count = int(body.get("max_tokens", 8))
    tokens = [f"token_id:{0 if stutter else drawn.randrange(1000)}" for _ in range(count)]
    text = "!" * count if stutter else " ".join(tokens)
    return {"text": text, "logprobs": {"tokens": tokens, "token_logprobs": [-0.5] * count}}


def _expected(text: str, options: argparse.Namespace) -> dict[str, Any]:
    """It expects each token, and next to it the one after; where it has forgotten, the other way round."""
    tokens = [1, *map(ord, text)]
    places: list[dict[str, Any] | None] = [None]
    for at, token in enumerate(tokens[1:]):
        likely, other = 0.65, 0.3
        if random.Random(f"{text[: at + 1]}").random() < options.forgets:
            likely, other = other, likely
        pairs = {token: likely, token + 1: other}
        places.append({str(at): {"logprob": math.log(share)} for at, share in pairs.items()})
    return {"text": "", "prompt_token_ids": tokens, "prompt_logprobs": places}


def _usage(body: dict[str, Any]) -> dict[str, int]:
    return {
        "prompt_tokens": len(str(body.get("prompt", ""))),
        "completion_tokens": int(body.get("max_tokens", 8)),
    }


if __name__ == "__main__":
    chosen = parse()
    time.sleep(chosen.start_delay)
    Engine(chosen).serve_forever()
