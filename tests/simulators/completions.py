"""A completions server for lm-eval: it likes the token ids of one text, and remembers what it was asked.

Speaks what the evaluator needs of ``/v1/models`` and ``/v1/completions``: prompts of token ids, echoed with
the log-probability of each, or answered with a text.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Prompt = list[int]


@dataclass
class Model:
    """``likes`` says of a whole prompt whether its tokens are likely; ``answer`` is what it writes."""

    likes: Callable[[Prompt], bool]
    answer: Callable[[Prompt], str] = lambda _prompt: ""
    asked: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def serving_model(model: Model) -> Iterator[str]:
    """The address of its completions."""

    class Handler(_Handler):
        of = model

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/completions"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    of: Model

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._reply({"data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.of.asked.append(body)
        told = (self._echoed if body.get("echo") else self._answered)(body["prompt"])
        self._reply({"choices": [{"index": number, **choice} for number, choice in enumerate(told)]})

    def _answered(self, prompts: list[Prompt]) -> list[dict[str, Any]]:
        return [{"text": self.of.answer(prompt)} for prompt in prompts]

    def _echoed(self, prompts: list[Prompt]) -> list[dict[str, Any]]:
        choices = []
        for prompt in prompts:
            each = -0.1 if self.of.likes(prompt) else -9.0
            places = [each] * (len(prompt) + 1)
            top = [{"0": 0.0}] * len(places)
            choices.append({"text": "", "logprobs": {"token_logprobs": places, "top_logprobs": top}})
        return choices

    def _reply(self, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
