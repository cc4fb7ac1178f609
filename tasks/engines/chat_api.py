"""An OpenAI-compatible API that is asked chats: what may pass is asked again, what may not ends it.

Standard library only. The key comes in a variable of its own, which is taken out of the environment, and goes
into the request's header and nowhere else: not into an error, nor into an answer that repeats it.
Certificates are checked, redirects are not followed, and connections go to the addresses that the host had at
the start.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from engine_protocol import EngineError

KEY_VARIABLE = "HEADGATE_API_KEY"
ATTEMPTS = 7  # with pauses that double: a minute, which is what limits per minute need
PATIENCE = 300.0  # seconds, for one answer with all attempts
TIMEOUT = 120.0  # seconds until the next bytes of an answer
LONGEST_PAUSE = 60.0  # seconds
_MOST_BYTES = 16 * 2**20  # of an answer
_SHOWN = 300  # characters of what an API says of an error
_NAME = 100  # characters of a model's name
_MAY_PASS = (408, 409, 425, 429, 500, 502, 503, 504, 529)
_CERTIFICATE = "check url; SSL_CERT_FILE may name the certificates of your own authority"
_NETWORK, _LATER, _OTHERWISE = "check url, and the network", "run again later", "check url and model"
_NEXT = {
    401: "check the key, and whether it is for this API",
    403: "check what the key's account may use",
    404: "check url (it ends before /chat/completions) and model",
    429: "wait until its limit allows more, or ask for a higher one",
}

Reply = tuple[int, str, bytes]
"""Status, ``Retry-After`` or ``Location``, and body."""


def take_key() -> str:
    """The key from the environment, where nobody finds it afterwards; empty without one."""
    return os.environ.pop(KEY_VARIABLE, "").strip()


class ChatApi:
    """Answers come from any thread; ``models`` are the names of those that gave them.

    ``url`` is of /chat/completions, ``addresses`` are its host's; ``timeout``, ``pause`` (the first) and
    ``patience`` are in seconds.
    """

    def __init__(
        self,
        url: str,
        addresses: list[tuple[str, int]],
        key: str,
        *,
        timeout: float = TIMEOUT,
        pause: float = 1.0,
        patience: float = PATIENCE,
    ) -> None:
        self._url, self._addresses, self._key = urlsplit(url), addresses, key
        self._timeout, self._pause, self._patience = timeout, pause, patience
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._ended = threading.Event()
        self.models: set[str] = set()

    def answer(self, payload: dict[str, Any]) -> str:
        """What it answers to a chat, empty where it declines; raises EngineError, which ends all attempts."""
        try:
            return self._read(self._accepted(json.dumps(payload).encode()), payload["model"])
        except EngineError:
            self._ended.set()
            raise

    def _read(self, reply: bytes, model: str) -> str:
        try:
            value = json.loads(reply)
            content = _text(value["choices"][0]["message"]["content"])
            self.models.add(self._without_key(_text(value.get("model")) or model)[:_NAME])
            return self._without_key(content)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            next_step = "check url: it ends before /chat/completions"
            raise self._error("infra", "gave no chat completion", self._reason(reply), next_step) from None

    def _accepted(self, body: bytes) -> bytes:
        """The body of the first reply that is an answer; raises EngineError where none comes."""
        deadline = time.monotonic() + self._patience
        for attempt in range(ATTEMPTS):
            reply, failure, wanted = self._tried(body)
            if failure is None:
                return reply
            pause = min(max(self._pause * 2**attempt, wanted), LONGEST_PAUSE)
            if time.monotonic() + pause > deadline or attempt == ATTEMPTS - 1 or self._ended.wait(pause):
                break
        raise failure

    def _tried(self, body: bytes) -> tuple[bytes, EngineError | None, float]:
        """A reply, or what may pass, and how many seconds it wants to be left alone; raises what will not."""
        try:
            status, said, reply = self._post(body)
        except ssl.SSLCertVerificationError as error:
            what = "has a certificate that is not trusted"
            raise self._error("config", what, error.verify_message, _CERTIFICATE) from None
        except (OSError, http.client.HTTPException) as error:
            why = "the time is up" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            return b"", self._error("infra", "did not answer", self._without_key(why), _NETWORK), 0.0
        if status == 200:
            return reply, None, 0.0
        if 300 <= status < 400:
            why = f"it leads to {self._without_key(said)[:_SHOWN]}, where nothing is sent"
            raise self._error("config", "redirects", why, "if you trust that address, name it as url")
        if status not in _MAY_PASS:
            raise self._error("config", f"said {status}", self._reason(reply), _NEXT.get(status, _OTHERWISE))
        failure = self._error("infra", f"said {status}", self._reason(reply), _NEXT.get(status, _LATER))
        return b"", failure, float(said) if said.isdecimal() else 0.0

    def _post(self, body: bytes) -> Reply:
        host = self._url.hostname or ""
        kind = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
        connection = kind(host, self._url.port or (443 if self._tls else 80))  # without: IPv6 reads as a port
        connection.sock = self._connected()
        try:
            if self._tls:
                connection.sock = self._tls.wrap_socket(connection.sock, server_hostname=host)
            headers = {"Content-Type": "application/json", "Connection": "close"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            connection.request("POST", self._url.path, body, headers)
            response = connection.getresponse()
            said = response.getheader("Location") or response.getheader("Retry-After") or ""
            return response.status, said, response.read(_MOST_BYTES)
        finally:
            connection.close()

    def _connected(self) -> socket.socket:
        """A connection to the first address that takes one."""
        failure = OSError("it has no address")
        for address in self._addresses:
            try:
                return socket.create_connection(address, self._timeout)
            except OSError as error:
                failure = error
        raise failure

    def _reason(self, reply: bytes) -> str:
        """What the API says of an error, in one line."""
        text = reply.decode("utf-8", errors="replace")
        try:
            error = json.loads(text)["error"]
            text = str(error["message"] if isinstance(error, dict) else error)
        except (ValueError, KeyError, TypeError, RecursionError):
            pass  # said in another form: shown as it is
        return " ".join(self._without_key(text).split())[:_SHOWN]

    def _error(self, kind: Any, what: str, why: str, next_step: str) -> EngineError:
        return EngineError(kind, f"{self._url.netloc} {what}", why=why, next_step=next_step)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[redacted]") if self._key else text


def _text(value: str | None) -> str:
    """The text, empty for none; what no file can hold in it (half a character) is replaced.

    Raises AttributeError for what is no text.
    """
    return "" if value is None else value.encode(errors="replace").decode()
