"""The token that opens gated and private repositories: from a Prefect Secret by name, or HF_TOKEN."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from prefect.blocks.system import Secret

from registry.errors import UsageError

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - the variable's name


def hub_token(env: Mapping[str, str], secret: str | None) -> str | None:
    """The token, or None without one; ``secret`` names a Prefect Secret block. Raises UsageError."""
    if not secret:
        return _clean(env.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE)
    try:
        block = cast("Secret[str]", Secret.load(secret))  # in a flow that is not async
    except ValueError as problem:
        raise UsageError(
            f"There is no Prefect Secret named {secret!r}",
            why="model.token_secret names it",
            next_step=f"make it in Prefect's UI under Blocks, or leave the key out and set {TOKEN_VARIABLE}",
        ) from problem
    return _clean(str(block.get()), f"the Prefect Secret {secret}")


def _clean(value: str, where: str) -> str | None:
    """The token without the line break that files and secrets end with; never shown, whatever it is."""
    token = value.strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise UsageError(
            f"What is in {where} is no token",
            why="it has spaces, line breaks or letters that no token has",
            next_step="put the token there and nothing else",
        )
    return token or None
