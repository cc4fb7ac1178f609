"""Reads the gateway's access log: one JSON line per request becomes one RequestRecord.

Pure: bytes in, records out. A torn last line stays unread until it is whole; a field the gateway could
not fill (null or ``-``) is None. Who reads the file, and from where, is the fleet's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from registry.errors import InfrastructureError

# Envoy's response flags that mean the upstream failed the request, whatever the status says: a stream cut
# after its headers is logged as status 200 (https://www.envoyproxy.io/docs/envoy/latest/configuration/
# observability/access_log/usage#response-flags).
_FAILURE_FLAGS = frozenset(
    {
        "UC",
        "UF",
        "UH",
        "UMSDR",
        "UO",
        "UPE",
        "UR",
        "URX",
        "UT",
        "LR",
        "NC",
        "NR",
        "NFCF",
        "DI",
        "FI",
        "OM",
        "SI",
    }
)
_CLIENT_LEFT = "DC"
_FIRST_SERVER_ERROR = 500
_FIRST_USER_ERROR = 400


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """One request as the gateway saw it; times in milliseconds, ``started`` in seconds since the epoch.

    ``arm`` is the revision the split chose, ``revision`` the one that answered in the end: they differ
    when the first attempt failed and stable stepped in.
    """

    arm: str | None
    revision: str | None
    status: int
    flags: frozenset[str] = frozenset()
    stream_error: str | None = None
    ttft_ms: float | None = None
    total_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    attempts: int = 1
    session: str | None = None
    fingerprint: str | None = None
    started: float | None = None
    method: str | None = None

    @property
    def asks_a_model(self) -> bool:
        """Whether a model had to work for it: a probe of health or of the model list says nothing of it."""
        return self.method in {"POST", None}

    @property
    def aborted(self) -> bool:
        """Whether the client left before the end; nobody knows how the request would have ended."""
        return _CLIENT_LEFT in self.flags and not self._attempt_failed

    @property
    def failed(self) -> bool:
        """Whether the chosen revision failed the request, even where a second attempt hid it."""
        if self._attempt_failed:
            return True
        if self.aborted:
            return False
        cut = bool(self.flags & _FAILURE_FLAGS)
        return self.status == 0 or self.status >= _FIRST_SERVER_ERROR or cut

    @property
    def refused(self) -> bool:
        """Whether the user asked for something impossible (4xx): neither success nor failure."""
        return not self.failed and _FIRST_USER_ERROR <= self.status < _FIRST_SERVER_ERROR

    @property
    def _attempt_failed(self) -> bool:
        return self.attempts > 1 or self.stream_error is not None


@dataclass(frozen=True)
class LogChunk:
    """The records in a stretch of log, and how many bytes of it were whole lines."""

    records: tuple[RequestRecord, ...]
    consumed: int


def parse_chunk(data: bytes) -> LogChunk:
    """Read the whole lines at the start of ``data``.

    Single unreadable lines are passed over, since a killed gateway leaves torn ones; when they outnumber
    the readable ones this is not the log we know, and InfrastructureError is raised.
    """
    consumed = data.rfind(b"\n") + 1
    lines = [line for line in data[:consumed].split(b"\n") if line.strip()]
    records = tuple(record for record in map(parse_line, lines) if record)
    unreadable = len(lines) - len(records)
    if unreadable > len(records):
        raise InfrastructureError(
            "the gateway's access log cannot be read",
            why=f"{unreadable} of {len(lines)} new lines are not the records Headgate configured",
            next_step="check that nothing else writes to the fleet's access.log, then promote again",
        )
    return LogChunk(records, consumed)


def parse_line(line: bytes) -> RequestRecord | None:
    """The record in one line, or None when it is not one."""
    try:
        value = json.loads(line)
        return _record(value)
    except (ValueError, KeyError, TypeError):
        return None


def _record(value: dict[str, Any]) -> RequestRecord:
    first_token = _number(value["ttft_us"])
    return RequestRecord(
        arm=_text(value["arm"]),
        revision=_text(value["revision"]),
        status=int(_number(value["status"]) or 0),
        flags=frozenset(_split(_text(value["flags"]))),
        stream_error=_text(value["stream_error"]),
        ttft_ms=None if first_token is None else first_token / 1000,
        total_ms=_number(value["total_ms"]),
        prompt_tokens=_count(value["prompt_tokens"]),
        completion_tokens=_count(value["completion_tokens"]),
        attempts=_count(value["attempts"]) or 1,
        session=_text(value["session"]),
        fingerprint=_text(value["fingerprint"]),
        started=_number(value["started"]),
        method=_text(value.get("method")),
    )


def _split(flags: str | None) -> Iterable[str]:
    return flags.split(",") if flags else ()


def _text(value: object) -> str | None:
    return None if value is None or value == "-" else str(value)


def _number(value: Any) -> float | None:
    return None if _text(value) is None else float(value)


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
