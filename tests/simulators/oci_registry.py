"""An image registry on the loopback interface that lists referrers, asks for passwords, and fails on demand.

The real registries that tests can start (docker-registry 2.8, crane's) do not list referrers; this one does,
as the distribution specification v1.1 says. Faults are attributes: set one, and the next requests meet it.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from registry.descriptor import INDEX_MEDIA_TYPE
from registry.digest import Digest
from registry.referrers import referrer_of

_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|referrers)/(?P<what>.+)")


class RegistrySimulator:
    """The registry. Use as a context manager; ``host`` is what an image's name begins with."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str], bytes] = {}
        """(repository, manifests | blobs, digest or tag) -> bytes."""
        self.requests: list[str] = []
        self.lists_referrers = True
        self.page = 1000
        """How many referrers one answer lists."""
        self.busy = 0
        """How many of the next requests are answered 503."""
        self.mute = 0
        """How many of the next writes are done and never answered."""
        self.forgets = 0
        """How many of the next tags are taken and not kept."""
        self.corrupt: set[Digest] = set()
        """What is handed out with one bit flipped."""
        self.password: tuple[str, str] | None = None
        """Who does not send it gets 401 with a challenge."""
        self.bearer = False
        """The challenge is for a token, from the address in ``realm``."""
        self.realm = ""
        self.elsewhere = ""
        """Where uploads are sent to, instead of here."""
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"sim": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def host(self) -> str:
        """``address:port``."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> RegistrySimulator:
        self.realm = self.realm or f"http://{self.host}/token"
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def referrers(self, name: str, subject: str) -> list[dict[str, Any]]:
        """What is listed for a subject, by digest."""
        found = [
            data
            for (repository, kind, what), data in sorted(self.kept.items())
            if (repository, kind) == (name, "manifests") and what.startswith("sha256:")
        ]
        about = [data for data in found if json.loads(data).get("subject", {}).get("digest") == subject]
        return [referrer_of(data).to_json() for data in about]


class _Handler(BaseHTTPRequestHandler):
    sim: RegistrySimulator
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # which holds a body back until the head is acknowledged: 40 ms

    def log_message(self, format: str, *arguments: object) -> None:
        del format, arguments

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sim, url = self.sim, urlsplit(self.path)
        sent = self.headers.get("Authorization") or "-"
        with sim.lock:
            sim.requests.append(f"{self.command} {url.path} {sent}")
            if sim.busy > 0:
                sim.busy -= 1
                self._answer(503)
            elif url.path == "/token":
                self._token(sent)
            elif not self._may(sent):
                self._challenge()
            elif url.path == "/v2/":
                self._answer(200, b"{}")
            elif (match := _PATH.fullmatch(url.path)) is None:
                self._answer(404)
            elif self.command in {"PUT", "POST"}:
                self._write(match["name"], match["kind"], match["what"], url.query, body)
            else:
                self._read(match["name"], match["kind"], match["what"], url.query)

    def _may(self, sent: str) -> bool:
        if self.sim.password is None:
            return True
        return sent == ("Bearer good" if self.sim.bearer else self._basic())

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(":".join(self.sim.password or ()).encode()).decode()

    def _token(self, sent: str) -> None:
        token = "good" if self.sim.password is None or sent == self._basic() else "bad"
        self._answer(200, json.dumps({"token": token}).encode())

    def _challenge(self) -> None:
        bearer = f'Bearer realm="{self.sim.realm}",service="sim",scope="repository:x:pull,push"'
        challenge = bearer if self.sim.bearer else 'Basic realm="sim"'
        body = b'{"errors":[{"code":"UNAUTHORIZED","message":"who\\u001b are you?"}]}'
        self._answer(401, body, {"WWW-Authenticate": challenge})

    def _write(self, name: str, kind: str, what: str, query: str, body: bytes) -> None:
        sim, digest = self.sim, str(Digest.of_bytes(body))
        if self.command == "POST":
            place = f"{sim.elsewhere}/v2/{name}/blobs/uploads/1?state=a%2Fb"
            self._answer(202, b"", {"Location": place})
            return
        if kind == "blobs":
            what = parse_qs(query)["digest"][0]
        if what.startswith("sha256:") and what != digest:
            self._answer(400)
            return
        sim.kept[name, kind, digest] = body
        if not what.startswith("sha256:"):
            if sim.forgets > 0:
                sim.forgets -= 1
            else:
                sim.kept[name, kind, what] = body
        if sim.mute > 0:
            sim.mute -= 1
            self.close_connection = True
            return
        self._answer(201)

    def _read(self, name: str, kind: str, what: str, query: str) -> None:
        if kind == "referrers":
            self._list(name, what, int(parse_qs(query).get("from", ["0"])[0]))
            return
        data = self.sim.kept.get((name, kind, what))
        if data is None:
            self._answer(404, b'{"errors":[{"code":"UNKNOWN","message":"none such"}]}')
            return
        media_type = json.loads(data)["mediaType"] if kind == "manifests" else "application/octet-stream"
        if Digest.of_bytes(data) in self.sim.corrupt:
            data = bytes([data[0] ^ 1, *data[1:]])
        self._answer(200, data, {"Content-Type": media_type})

    def _list(self, name: str, subject: str, start: int) -> None:
        if not self.sim.lists_referrers:
            self._answer(404, b"404 page not found\n")
            return
        found = self.sim.referrers(name, subject)
        end = start + self.sim.page
        headers = {"Content-Type": INDEX_MEDIA_TYPE}
        if end < len(found):
            headers["Link"] = f'</v2/{name}/referrers/{subject}?from={end}>; rel="next"'
        index = {"schemaVersion": 2, "mediaType": INDEX_MEDIA_TYPE, "manifests": found[start:end]}
        self._answer(200, json.dumps(index).encode(), headers)

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
