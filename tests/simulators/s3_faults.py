"""A proxy before an S3 service that fails on purpose: before the service saw a request, or after.

After is the worse half: the write happened, and the client is told otherwise or nothing at all.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_LATE_S = 0.2


class Fault(Enum):
    """What is done to one request; ``AFTER`` ones let the service carry it out first."""

    CLOSED_BEFORE = "closed before"
    CLOSED_AFTER = "closed after"
    SILENT_BEFORE = "silent before"
    SILENT_AFTER = "silent after"
    CUT_AFTER = "cut after"
    REPEATED = "repeated"
    LATE = "late"
    BUSY_BEFORE = "503 SlowDown"
    BUSY_AFTER = "503 SlowDown after"
    BROKEN_AFTER = "500 InternalError after"
    CONFLICT = "409 ConditionalRequestConflict"
    GATEWAY = "502"
    FORBIDDEN = "403 AccessDenied"
    SKEWED = "403 RequestTimeTooSkewed"
    EXPIRED = "403 ExpiredToken"
    NO_BUCKET = "404 NoSuchBucket"
    NOT_S3 = "404"
    UNABLE = "501 NotImplemented"
    NO_RANGE = "416 InvalidRange"
    FLIPPED = "flipped after"

    @property
    def passes(self) -> bool:
        """Whether the client should get over it by trying again."""
        return self.value[:3] not in {"403", "404", "416", "501"} and self is not Fault.FLIPPED


@dataclass
class Faults:
    """Which fault the next requests meet: set ``choose`` to a function of method and path."""

    choose: Callable[[str, str], Fault | None] = lambda _method, _path: None
    requests: list[tuple[str, str]] = field(default_factory=list)

    def next(self, *faults: Fault, method: str = "PUT") -> None:
        """The next requests of this method meet these faults, one each."""
        left = list(faults)
        lock = threading.Lock()

        def choose(asked: str, _path: str) -> Fault | None:
            with lock:
                return left.pop(0) if asked == method and left else None

        self.choose = choose


@contextlib.contextmanager
def faulty_proxy(upstream: str) -> Iterator[tuple[str, Faults]]:
    """The address of a proxy before the service at ``upstream``, and the faults to set."""
    faults = Faults()
    host, port = upstream.removeprefix("http://").split(":")

    class Handler(_Proxy):
        """Bound to this proxy's service."""

        address = (host, int(port))
        plan = faults

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.closing = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is no news."""


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # which holds a body back until the head is acknowledged: 40 ms
    address: tuple[str, int]
    plan: Faults
    server: _Server

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.plan.requests.append((self.command, self.path))
        fault = self.plan.choose(self.command, self.path)
        if fault is Fault.LATE:  # carried out when the client has long gone on
            threading.Timer(_LATE_S, self._forward, [body]).start()
        if fault and "after" not in fault.value and fault is not Fault.REPEATED:
            self._fail(fault, b"")
            return
        status, headers, answer = self._forward(body)
        if fault is Fault.REPEATED:  # a helpful proxy tries again by itself, and passes on the second answer
            status, headers, answer = self._forward(body)
        elif fault is Fault.FLIPPED:  # one bit of the content is another one, and nobody on the way notices
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        elif fault:
            self._fail(fault, answer)
            return
        self._answer(status, headers, answer)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = _handle  # noqa: N815 - http.server's names

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        skip = {"connection", "transfer-encoding"}
        if self.command != "HEAD":  # which tells the length of what it does not send
            skip |= {"content-length"}
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in skip]
        return answer.status, headers, content

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204 and self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _fail(self, fault: Fault, answer: bytes) -> None:
        self.close_connection = True
        word, _, code = fault.value.removesuffix(" after").partition(" ")
        if word == "silent":
            self.server.closing.wait(30)
        elif word == "cut":
            head = f'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: {len(answer) + 10}\r\n\r\n'
            self.wfile.write(head.encode() + answer[: len(answer) // 2])
        elif word.isdigit():
            said = f"<Error><Code>{code}</Code><Message>said on purpose</Message></Error>" if code else "no"
            self._answer(int(word), [("Connection", "close")], said.encode())
        if not word.isdigit():
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Quiet."""
