"""The version that somebody named, or why there is none: also of one that only an alias log still knows."""

from __future__ import annotations

from registry.alias_history import read_log
from registry.alias_log import places
from registry.errors import UsageError
from registry.publish import RecordGone, get_version
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion, parse_reference


def named_version(store: Store, trust: Trust, reference: str) -> ModelVersion:
    """The version of a reference such as ``tiny/3``.

    Raises UsageError when there never was one, RecordGone when the index or an alias log names one.
    """
    try:
        return get_version(store, reference)
    except UsageError as unknown:
        if place := _naming(store, trust, reference):
            raise RecordGone(
                f"The record of {reference} is gone from the store",
                why=f"the alias log of {place[0]} on {place[1]} names it, and nothing else does any more",
                next_step="restore the store from a backup, or import the version again",
            ) from unknown
        raise


def _naming(store: Store, trust: Trust, reference: str) -> tuple[str, str] | None:
    """The model and GPU class whose alias log names the version, if any does."""
    try:
        name, number = parse_reference(reference)
    except ValueError:
        return None
    logs = ((place, read_log(store, trust, *place)) for place in places(store, name))
    return next((place for place, log in logs if number in log.named), None)
