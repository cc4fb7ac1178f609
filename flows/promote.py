"""The promote flow: a published version with its evidence, through a canary, to production."""

from __future__ import annotations

from typing import Any

from prefect import flow

from fleet.roster import Target, choose_target
from flows.ending import told
from flows.spec import Rollout
from flows.translate import plan_of
from registry.errors import HeadgateError, UsageError
from registry.named_version import named_version
from registry.version import ModelVersion
from tasks.fleet_records import known_fleets
from tasks.promotion import check_evidence, past_rollout, production_revision, replica_of, settle
from tasks.roll_out import check_port, roll_out
from tasks.workplace import Workplace, open_workplace


@flow(name="promote")
def promote(version: str, rollout: Rollout | None = None, fleet: str | None = None) -> dict[str, Any]:
    """Roll a published version out to the fleet, judged step by step against what is live.

    Args:
        version: The version's reference, NAME/NUMBER. An older one rolls back; the stable one gives up the
            rollout that is not over.
        rollout: How fast, and what the canary must keep; empty goes on as the fleet's last rollout did.
        fleet: Which fleet of this machine takes it; empty takes the one that serves the model now.
    """
    try:
        return _promote(version, rollout, fleet)
    except HeadgateError as error:
        return told(error)


def _promote(version: str, rollout: Rollout | None, fleet: str | None) -> dict[str, Any]:
    with open_workplace() as place:
        found = named_version(place.store, place.trust, version)
        target = target_of(place, found.name, rollout, fleet)
        check_evidence(place, found)
        canary = replica_of(place, found)
        status = roll_out(place, target, canary, production_revision(place, found))
        return {**settle(place, found, status), "fleet": target.fleet}


def promote_if_new(version: ModelVersion, rollout: Rollout) -> dict[str, Any]:
    """Promote a version that is live or was never rolled out; one that had its turn keeps its outcome."""
    with open_workplace() as place:
        target = target_of(place, version.name, rollout)
        past = past_rollout(place, version, target.fleet)
    return past or promote(version.reference, rollout)


def target_of(place: Workplace, model: str, rollout: Rollout | None, fleet: str | None = None) -> Target:
    """The fleet that a promotion of this model goes to, its port and plan, as far as they were left open.

    Raises UsageError when it cannot be told, or could not have the port: better now than after an hour.
    """
    section = rollout or Rollout()
    if fleet and section.fleet and fleet != section.fleet:
        raise UsageError(
            f"two fleets are named: {fleet}, and {section.fleet} in the rollout section",
            next_step="leave one of them out",
        )
    target = choose_target(
        model,
        known_fleets(place.home),
        fleet=fleet or section.fleet,
        port=section.port,
        plan=plan_of(rollout) if rollout else None,
        default_plan=plan_of(Rollout()),
    )
    check_port(place.home, target.fleet, target.port)
    return target
