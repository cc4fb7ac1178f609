"""Who we are to an image registry: names and passwords from Docker's config file, and bearer tokens for them.

Source: the distribution project's ``docs/spec/auth/token.md``. A secret goes to the registry it is for, or to
the token service that registry names, and only encrypted or within this machine.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import httpx

from registry.data_errors import worded
from registry.errors import UsageError

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


def is_loopback(host: str) -> bool:
    """Whether this host (without port or brackets) is this machine."""
    return _LOOPBACK.fullmatch(host) is not None


def docker_credentials(host: str, env: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and password that ``docker login`` kept for this ``host[:port]``, or None.

    Raises UsageError for a config file that cannot be read, or that keeps them in a credential helper.
    """
    folder = env.get("DOCKER_CONFIG") or str(Path(env.get("HOME") or Path.home()) / ".docker")
    path = Path(folder) / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
        entries = {_host_of(key): entry for key, entry in config.get("auths", {}).items()}
        encoded = entries.get(host, {}).get("auth", "")
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        helper = config.get("credHelpers", {}).get(host) or (host in entries and config.get("credsStore"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as problem:
        why = worded(problem)
        raise UsageError(
            f"{path} cannot be read", why=why, next_step=f"run `docker login {host}`"
        ) from problem
    if helper and not colon:
        raise UsageError(
            f"The password for {host} is in the credential helper {helper!r}, which Headgate does not ask",
            next_step="set DOCKER_CONFIG to a folder whose config.json has it under `auths`",
        )
    return (name, password) if colon else None


class RegistryAuth(httpx.Auth):
    """Answers a registry's challenges; requests to other hosts go without a secret."""

    def __init__(self, origin: httpx.URL, credentials: tuple[str, str] | None) -> None:
        self._origin = origin
        self._credentials = credentials
        self._authorization: str | None = None

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The request; after a challenge the request for a token, and the first one again."""
        if not self._is_ours(request.url):
            yield request
            return
        if self._authorization:
            request.headers["Authorization"] = self._authorization
        response = yield request
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        if response.status_code != 401:
            return
        if scheme.lower() == "basic" and self._credentials and _is_private(request.url):
            self._authorization = _basic(self._credentials)
        elif scheme.lower() == "bearer":
            answer = yield self._token_request(dict(_PARAMETER.findall(rest)))
            self._authorization = _bearer(answer)
        else:
            return
        request.headers["Authorization"] = self._authorization
        yield request

    def _is_ours(self, url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port) == (
            self._origin.scheme,
            self._origin.host,
            self._origin.port,
        )

    def _token_request(self, challenge: Mapping[str, str]) -> httpx.Request:
        realm = httpx.URL(challenge.get("realm", ""))
        asked = {key: challenge[key] for key in ("service", "scope") if key in challenge}
        request = httpx.Request("GET", realm.copy_merge_params(asked))
        if self._credentials and _is_private(realm):
            request.headers["Authorization"] = _basic(self._credentials)
        return request


def _bearer(answer: httpx.Response) -> str:
    try:
        value = json.loads(answer.read())
        token = value.get("token") or value["access_token"]
    except (ValueError, KeyError, TypeError, AttributeError):
        token = ""  # the registry refuses it, and the answer is explained as that
    return f"Bearer {token}"


def _basic(credentials: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(credentials).encode()).decode()


def _is_private(url: httpx.URL) -> bool:
    return url.scheme == "https" or is_loopback(url.host)


def _host_of(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]
