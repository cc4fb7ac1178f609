"""An OpenAI-compatible API with faults: it wants a key, answers by a function, and fails as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Messages = list[dict[str, str]]


@dataclass
class Chat:
    """``answer`` is what it says to messages; each of ``faults`` takes one request: a status, with headers.

    ``name`` is the model that it says answered, ``body`` what it sends instead of any answer. Its errors
    repeat the header with the key.
    """

    answer: Callable[[Messages], str | None] = lambda _messages: "yes"
    key: str | None = None
    name: str | None = None
    body: bytes | None = None
    hangs: bool = False
    faults: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving_chat(chat: Chat, certificate: Path | None = None) -> Iterator[str]:
    """The address before /chat/completions, for the length of the block; with a certificate, of https."""

    class Handler(_Handler):
        of = chat

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        chat.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def self_signed(folder: Path) -> Path:
    """A key and a certificate of this machine that nobody has signed, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
    path = folder / "certificate.pem"
    path.write_bytes(
        made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


class _Handler(BaseHTTPRequestHandler):
    of: Chat

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.of.asked.append({**body, "path": self.path})
        authorization = self.headers.get("Authorization")
        if self.of.hangs:
            self.of.over.wait()
        elif self.of.key and authorization != f"Bearer {self.of.key}":
            self._reply(401, {"error": {"message": f"Incorrect API key provided: {authorization}"}}, {})
        elif self.of.faults:
            status, headers = self.of.faults.pop(0)
            self._reply(status, {"error": {"message": f"no, {authorization}"}}, headers)
        else:
            message = {"role": "assistant", "content": self.of.answer(body["messages"])}
            self._reply(200, {"model": self.of.name or body["model"], "choices": [_choice(message)]}, {})

    def _reply(self, status: int, value: dict[str, Any], headers: dict[str, str]) -> None:
        data = self.of.body if status == 200 and self.of.body is not None else json.dumps(value).encode()
        self.send_response(status)
        for name, said in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, said)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _choice(message: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, "message": message, "finish_reason": "stop"}
