"""Promotion: what a version needs before it may meet users, its replica, and how a rollout ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fleet.router import ReplicaSpec
from fleet.status import Phase, RolloutStatus
from registry.alias import get_aliases
from registry.alias import promote as move_production
from registry.errors import HeadgateError, Inconclusive, InfrastructureError, RolledBack, UsageError
from registry.evidence import Evidence, list_evidence, record
from registry.policy import ROLLOUT, missing_evidence, newest_of
from registry.version import ModelVersion
from tasks.publish import load_manifest
from tasks.roll_out import load_status
from tasks.runtime import runtime_of
from tasks.serving import Served, replica
from tasks.summary import publish_timeline
from tasks.workplace import Workplace


def check_evidence(place: Workplace, version: ModelVersion) -> None:
    """Raises UsageError with everything that is missing before this version may be promoted."""
    found = list_evidence(place.store, version.release_digest)
    if missing := missing_evidence(found, datetime.now(UTC).date()):
        raise UsageError(
            f"{version.reference} may not be promoted",
            why="; ".join(missing),
            next_step="release it again: what still holds is reused, what is missing is measured",
        )


def replica_of(place: Workplace, version: ModelVersion) -> ReplicaSpec:
    """The server of this version, on the very runtime it was judged on; UsageError when that is gone."""
    installed = runtime_of(place, version.runtime)
    weights = load_manifest(place, version.weights_manifest)
    # Users ask for the model by its registry name, whichever version answers.
    served = Served(version.name, weights, version.serve, installed)
    return replica(place, served, revision=_revision(version))


def past_rollout(place: Workplace, version: ModelVersion, fleet_name: str) -> dict[str, Any] | None:
    """How this version's turn ended, or None when it had none or is live. Raises RolledBack if it was.

    A rollout that failed for want of infrastructure was no turn.
    """
    if get_aliases(place.store, version.name, version.gpu_class).production == version.number:
        return None
    saved = load_status(place.store, fleet_name)
    if saved and saved.phase is Phase.ROLLED_BACK and saved.canary.revision == _revision(version):
        return settle(place, version, saved)  # a driver killed in between has not recorded it
    ended = {str(Phase.SUCCEEDED), str(Phase.ROLLED_BACK)}
    found = [
        evidence
        for evidence in list_evidence(place.store, version.release_digest)
        if evidence.facts.get("revision") == _revision(version) and evidence.facts["phase"] in ended
    ]
    past = newest_of(found, ROLLOUT)
    if past is None:
        return None
    if past.facts["phase"] == Phase.ROLLED_BACK:
        raise _rolled_back(version, str(past.facts["reason"]))
    return {
        **past.facts,
        "note": f"promoted before; `headgate promote {version.reference}` makes it live again",
    }


def _revision(version: ModelVersion) -> str:
    return f"{version.name}-v{version.number}"


def settle(place: Workplace, version: ModelVersion, status: RolloutStatus) -> dict[str, Any]:
    """Record how a rollout ended, move ``production`` if it succeeded, else raise what it came to."""
    publish_timeline(place, version, status)
    if status.phase is Phase.SUCCEEDED:
        move_production(place.store, version.name, version.gpu_class, version.number)
    facts = _facts(status)
    if status.phase.is_terminal:
        evidence = Evidence(kind=ROLLOUT, subject=version.release_digest, verdict=status.verdict, facts=facts)
        record(place.store, evidence)
    if status.phase is not Phase.SUCCEEDED:
        raise _ended(version, status)
    return facts


def _facts(status: RolloutStatus) -> dict[str, Any]:
    return {
        "phase": str(status.phase),
        "revision": status.canary.revision,
        "stable": status.stable.revision if status.stable else None,
        "weights": list(dict.fromkeys(move.weight for move in status.history if move.weight)),
        "reason": status.reason,
        "port": status.port,
        "at": datetime.fromtimestamp(status.since, UTC).isoformat(timespec="microseconds"),
    }


def _ended(version: ModelVersion, status: RolloutStatus) -> HeadgateError:
    if status.phase is Phase.ROLLED_BACK:
        return _rolled_back(version, status.reason)
    if status.phase is Phase.PAUSED:
        return Inconclusive(
            f"the rollout of {version.reference} is paused at {status.weight} %",
            why=status.reason,
            next_step=f"`headgate promote {version.reference}` goes on, with more traffic",
        )
    return InfrastructureError(
        f"the rollout of {version.reference} failed, and every request is back on stable",
        why=status.reason,
        next_step="look at the fleet's logs (`headgate status`), then promote again",
    )


def _rolled_back(version: ModelVersion, reason: str) -> RolledBack:
    return RolledBack(
        f"{version.reference} was rolled back, and every request is on stable",
        why=reason,
        next_step=f"release a better one; `headgate promote {version.reference}` tries this one again",
    )
