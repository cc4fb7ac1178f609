"""The reconcile flow: find what is half done or has come apart in the registry, and mend it."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.ending import told
from registry.errors import HeadgateError
from tasks.reconcile import reconcile as mend
from tasks.workplace import open_workplace


@flow(name="reconcile")
def reconcile(apply: bool = False) -> dict[str, Any]:
    """Say what is half done or has come apart in the registry; with apply, mend what can be mended.

    Args:
        apply: Mend it. Without, nothing changes.
    """
    try:
        with open_workplace() as place:
            return mend(place, apply=apply)
    except HeadgateError as error:
        return told(error)
