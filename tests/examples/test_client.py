"""The quickstart's users, against a small streaming server with faults."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.quickstart import client

ENGINE = Path(__file__).parents[1] / "simulators" / "engine.py"


@contextmanager
def _engine(*knobs: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, str(ENGINE), "--port", str(port), *knobs])
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(1200):
            try:
                httpx.get(f"{url}/health", trust_env=False)
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        yield url
    finally:
        server.kill()
        server.wait()


def _command(url: str, seconds: float, rate: float = 50) -> list[str]:
    flags = ["--url", url, "--model", "tiny", "--rate", str(rate), "--seconds", str(seconds), "--json"]
    return [sys.executable, str(Path(client.__file__)), *flags]


def _summary(url: str, seconds: float) -> dict[str, Any]:
    ended = subprocess.run(_command(url, seconds), capture_output=True, text=True, check=True, timeout=120)
    return dict(json.loads(ended.stdout))


def test_arrivals_keep_their_rate_and_their_seed() -> None:
    """Twenty per second on average, the same ones every time."""
    moments = list(client.arrivals(20, 500, seed=3))
    assert moments == list(client.arrivals(20, 500, seed=3)) == sorted(moments)
    assert len(moments) == pytest.approx(10_000, rel=0.05)


def test_quantiles_by_nearest_rank() -> None:
    """None of nothing, and never a value that was not measured."""
    assert client.quantile([], 0.5) is None
    assert client.quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert client.quantile([1.0], 0.95) == 1.0


def test_healthy_server_is_seen_as_such() -> None:
    """Every request ends, and the time to the first token is known."""
    with _engine() as url:
        seen = _summary(url, 0.5)
    assert seen["sent"] == seen["ok"] > 0
    assert seen["errors"] == 0
    assert 0 < seen["ttft_p50"] <= seen["ttft_p95"]


@pytest.mark.parametrize("fault", ["--error-rate", "--stream-error-rate"])
def test_errors_before_and_inside_a_stream_are_counted(fault: str) -> None:
    """A 200 that carries an error is not an answer."""
    with _engine(fault, "1") as url:
        seen = _summary(url, 0.3)
    assert seen["ok"] == 0
    assert seen["errors"] == seen["sent"] > 0


def test_absent_server_is_an_error_not_a_crash() -> None:
    """The gateway may not be up yet."""
    seen = _summary("http://127.0.0.1:9", 0.3)
    assert seen["errors_by_kind"] == {"ConnectError": seen["sent"]}


def test_sigterm_ends_it_with_its_summary() -> None:
    """The quickstart stops its users when the rollout is over."""
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        server.timeout = 60
        url = f"http://127.0.0.1:{server.server_port}"
        users = subprocess.Popen(_command(url, 600), stdout=subprocess.PIPE, text=True)
        for _request in range(3):
            server.handle_request()
        users.send_signal(signal.SIGTERM)
    out, _ = users.communicate(timeout=60)
    assert users.returncode == 0
    seen = json.loads(out)
    assert seen["ok"] == 3
    assert seen["errors"] == seen["sent"] - 3


class _Answer(BaseHTTPRequestHandler):
    """One token, whatever is asked."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'data: {"choices": [{"text": "one"}]}\n\ndata: [DONE]\n\n')
