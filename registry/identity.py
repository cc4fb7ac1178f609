"""What tells one registry from every other: an identity of its own, which travels with copies of it."""

from __future__ import annotations

import secrets

from registry.store import Store

_KEY = "identity/registry"


def identity(store: Store) -> str | None:
    """The registry's identity, or None when nobody has asked for one to be made."""
    found = store.get(_KEY)
    return found.decode() if found else None


def make_identity(store: Store) -> str:
    """The registry's identity; drawn now when it has none."""
    while (found := identity(store)) is None:
        store.put_if_absent(_KEY, secrets.token_hex(16).encode())
    return found
