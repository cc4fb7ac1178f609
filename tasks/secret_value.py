"""A secret that a spec names: from a Prefect Secret block, clean of what files and forms end it with."""

from __future__ import annotations

import re
from typing import cast

import httpx
from prefect.blocks.system import Secret

from registry.data_errors import worded
from registry.errors import InfrastructureError, UsageError


def secret_of(block: str, *, named_by: str, instead: str) -> str | None:
    """What is in the Prefect Secret of this name; None where it is empty.

    Raises UsageError, and InfrastructureError where Prefect's server does not answer.
    ``named_by`` is the spec's key, and ``instead`` what else may be done, as half a sentence.
    """
    try:
        found = cast("Secret[str]", Secret.load(block))  # in a flow that is not async
    except ValueError as problem:
        raise UsageError(
            f"There is no Prefect Secret named {block!r}",
            why=f"{named_by} names it",
            next_step=f"make it in Prefect's UI under Blocks, or {instead}",
        ) from problem
    except httpx.HTTPError as problem:
        raise InfrastructureError(
            f"The Prefect Secret {block!r} cannot be read",
            why=worded(problem),
            next_step="see whether the Prefect server answers, and try again",
        ) from problem
    return clean(str(found.get()), f"the Prefect Secret {block}")


def clean(value: str, where: str) -> str | None:
    """The token without the line break that files and secrets end with; never shown, whatever it is."""
    token = value.strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise UsageError(
            f"What is in {where} is no token",
            why="it has spaces, line breaks or letters that no token has",
            next_step="put the token there and nothing else",
        )
    return token or None
