"""The Hugging Face client, set up for unattended use, and its failures in words a user can act on.

Set up means: no telemetry, no bars of its own, no Xet (its transfers cannot be watched or stopped), and
a time limit on every request. What is asked of the hub is for
``tasks.hub_source`` to say.
"""

from __future__ import annotations

import errno
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.utils.tqdm import tqdm as ClientBar  # noqa: N812 - a class, named like a function

from registry.errors import HeadgateError, InfrastructureError, UsageError
from tasks.progress import StageProgress

QUICK = 6.0  # seconds for a request that only asks
_PATIENCE = 20.0  # seconds for all questions together, the client's own retries included
_LIMIT = 10.0  # seconds without a byte, for requests to which the client itself sets no limit
_ATTEMPTS = 3
_PASSING_STATUS = (408, 429, 500, 502, 503, 504)

# The client reads its own settings from the environment when it is imported; this process's stays untouched.
constants.HF_HUB_DISABLE_TELEMETRY = True
constants.HF_HUB_DISABLE_XET = True
constants.DOWNLOAD_CHUNK_SIZE = 1 << 20  # bytes that are hashed and written at a time
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # what matters comes as an exception

_Answer = TypeVar("_Answer")


class OutOfPatience(httpx2.HTTPError):
    """The questions took too long together; unlike a timeout, the client does not try again."""


# Per thread: questions are asked in the caller's, while the client transfers files in its own.
_deadline = threading.local()


@contextmanager
def patience() -> Iterator[None]:
    """Ask questions in this block: once it has lasted 20 s, the next request raises OutOfPatience."""
    _deadline.at = time.monotonic() + _PATIENCE
    try:
        yield
    finally:
        del _deadline.at


def _limit_time(request: httpx2.Request) -> None:
    left = getattr(_deadline, "at", math.inf) - time.monotonic()
    if left <= 0:
        raise OutOfPatience(f"no useful answer within {_PATIENCE:g} s")
    limits = request.extensions.get("timeout") or {}
    request.extensions["timeout"] = {
        phase: min(left, limits.get(phase) or _LIMIT) for phase in ("connect", "read", "write", "pool")
    }


def _http_client() -> httpx2.Client:
    return httpx2.Client(event_hooks={"request": [_limit_time]}, follow_redirects=True, timeout=_LIMIT)


huggingface_hub.set_client_factory(_http_client)


class SilentBar(ClientBar):
    """The client's bar, drawing nothing: progress is ours to tell."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]


def patiently(ask: Callable[[], _Answer], endpoint: str, progress: StageProgress) -> _Answer:
    """The answer to a quick question, asked again when the hub is silent or overloaded, and saying so."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return ask()
        except httpx2.HTTPError as error:
            if not may_pass(error):
                raise
            progress(f"{endpoint}: {_in_short(error)}; attempt {attempt + 1} of {_ATTEMPTS}", None)
            time.sleep(attempt)
    return ask()


def explain(
    error: BaseException, repo_id: str, revision: str, endpoint: str, *, listed: bool = False
) -> HeadgateError:
    """What a failure of the client means for the user, and what to do next.

    ``listed``: the hub has said before that the repository is there.
    """
    if isinstance(error, errors.LocalEntryNotFoundError | ValueError) and error.__cause__:
        # The client's wrapping says less.
        return explain(error.__cause__, repo_id, revision, endpoint, listed=listed)
    if isinstance(error, errors.HfHubHTTPError):
        return _explain_answer(error, repo_id, revision, endpoint, listed)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return UsageError(
            f"{repo_id} cannot be fetched: the client is in offline mode",
            next_step="unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE",
        )
    if isinstance(error, httpx2.HTTPError):
        return InfrastructureError(
            f"the hub at {endpoint} cannot be reached",
            why=_in_short(error),
            next_step="check the network, or HF_ENDPOINT if another hub was meant, and run the same command "
            "again: what arrived is kept",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InfrastructureError(
            f"the disk is full; {repo_id} was not downloaded",
            next_step="free some space, or set HEADGATE_HOME to a folder on a larger disk",
        )
    return InfrastructureError(
        f"{repo_id} at {revision} could not be downloaded from {endpoint}",
        why=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}",
        next_step="run the same command again: what arrived is kept",
    )


def _explain_answer(
    error: errors.HfHubHTTPError, repo_id: str, revision: str, endpoint: str, listed: bool
) -> HeadgateError:
    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError) or status == 403:
        return UsageError(
            f"{repo_id} is gated, and {_whose(error)}",
            why=f"{endpoint} answered {status}",
            next_step="ask for access on the repository's page, and set HF_TOKEN to a token of that account",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(
            f"{repo_id} has no revision {revision!r}",
            why=f"{endpoint} answered {status}",
            next_step="correct the commit: it is not one of that repository's"
            if re.fullmatch(r"[0-9a-f]{40}", revision)
            else "name a branch, a tag or a commit of that repository",
        )
    unknown = status == 401 or (status == 404 and not listed)  # not every hub says what it does not know
    if isinstance(error, errors.RepositoryNotFoundError) or unknown:
        return UsageError(
            f"{repo_id} is not at {endpoint}, or may not be read without a token",
            why=f"the hub answered {status}, and does not say which of the two",
            next_step="check the name; for a private or gated one set HF_TOKEN to a token that may read it",
        )
    return InfrastructureError(
        f"the hub at {endpoint} answered {status} when asked for {repo_id} at {revision}",
        next_step="run the same command again in a while: what arrived is kept",
    )


def _whose(error: errors.HfHubHTTPError) -> str:
    sent = "authorization" in error.response.request.headers
    return "this token may not read it" if sent else "no token was sent"


def may_pass(error: Exception) -> bool:
    """Whether asking again may help."""
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code in _PASSING_STATUS
    return isinstance(error, httpx2.HTTPError) and not isinstance(error, OutOfPatience)


def _in_short(error: httpx2.HTTPError) -> str:
    if isinstance(error, errors.HfHubHTTPError):
        return f"it answered {error.response.status_code}"
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx2.LocalProtocolError):
        return "the request could not be put together"  # its words hold the headers, and so the token
    return str(error) or type(error).__name__
