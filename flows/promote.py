"""The promote flow: a published version with its evidence, through a canary, to production."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.ending import told
from flows.spec import Rollout
from flows.translate import plan_of
from registry.errors import HeadgateError
from registry.publish import get_version
from registry.version import ModelVersion
from tasks.promotion import check_evidence, past_rollout, replica_of, settle
from tasks.roll_out import roll_out
from tasks.workplace import open_workplace

_DEFAULTS = Rollout()


@flow(name="promote")
def promote(version: str, rollout: Rollout = _DEFAULTS) -> dict[str, Any]:
    """Roll a published version out to the fleet, judged step by step against what is live.

    Args:
        version: The version's reference, NAME/NUMBER. An older one rolls back.
        rollout: How fast, and what the canary must keep.
    """
    try:
        return _promote(version, rollout)
    except HeadgateError as error:
        return told(error)


def _promote(version: str, rollout: Rollout) -> dict[str, Any]:
    plan = plan_of(rollout)
    with open_workplace() as place:
        found = get_version(place.store, version)
        check_evidence(place, found)
        canary = replica_of(place, found)
        status = roll_out(place, rollout.fleet, rollout.port, canary, plan)
        return settle(place, found, status)


def promote_if_new(version: ModelVersion, rollout: Rollout) -> dict[str, Any]:
    """Promote a version that is live or was never rolled out; one that had its turn keeps its outcome."""
    with open_workplace() as place:
        past = past_rollout(place, version, rollout.fleet)
    return past or promote(version.reference, rollout)
