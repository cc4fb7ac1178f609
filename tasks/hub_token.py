"""The token that opens gated and private repositories: from a Prefect Secret by name, or HF_TOKEN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from prefect.blocks.system import Secret

from registry.errors import UsageError

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - the variable's name


def hub_token(env: Mapping[str, str], secret: str | None) -> str | None:
    """The token, or None without one; ``secret`` names a Prefect Secret block. Raises UsageError."""
    if not secret:
        return env.get(TOKEN_VARIABLE) or None
    try:
        block = cast("Secret[str]", Secret.load(secret))  # in a flow that is not async
    except ValueError as problem:
        raise UsageError(
            f"There is no Prefect Secret named {secret!r}",
            why="model.token_secret names it",
            next_step=f"make it in Prefect's UI under Blocks, or leave the key out and set {TOKEN_VARIABLE}",
        ) from problem
    return str(block.get())
