"""The token that opens gated and private repositories: from a Prefect Secret by name, or HF_TOKEN."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.secret_value import clean, secret_of

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - the variable's name


def hub_token(env: Mapping[str, str], secret: str | None) -> str | None:
    """The token, or None without one; ``secret`` names a Prefect Secret block. Raises UsageError."""
    if not secret:
        return clean(env.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE)
    instead = f"leave the key out and set {TOKEN_VARIABLE}"
    return secret_of(secret, named_by="model.token_secret", instead=instead)
