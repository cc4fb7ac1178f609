"""Promotion: what a version needs before it may meet users, its replica, and how a rollout ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fleet.roster import reference_of
from fleet.router import ReplicaSpec
from fleet.status import Phase, RolloutStatus
from registry.alias import Alias
from registry.alias_log import get_aliases
from registry.counting import newest_of
from registry.errors import HeadgateError, Inconclusive, InfrastructureError, RolledBack
from registry.evidence import Evidence, list_evidence
from registry.lost_evidence import check_kept
from registry.manifest import Manifest
from registry.open_case import open_case
from registry.policy import exemption, insist
from registry.predicates import ROLLOUT
from registry.verify_weights import check_served
from registry.version import ModelVersion
from tasks.attest import attach
from tasks.disk import in_words
from tasks.fleet_records import load_status
from tasks.keep_weights import weights_of
from tasks.progress import byte_counter, report
from tasks.publish import point
from tasks.record import check_means, record_once
from tasks.runtime import runtime_of
from tasks.serving import Served, replica
from tasks.summary import publish_timeline
from tasks.workplace import Workplace


def check_evidence(place: Workplace, version: ModelVersion) -> None:
    """Raises what the policy asks for and does not find before this version may be promoted.

    Raises Refused when evidence was removed from the store, UsageError when the key may not move
    ``production``, and InfrastructureError when the log of the aliases cannot be believed: better now than
    when users are on it.
    """
    check_means(place)
    get_aliases(place.store, place.trust, version.name, version.gpu_class)
    case = open_case(place.store, version, place.trust, datetime.now(UTC))
    check_kept(place.store, place.layout, version, {e.digest for e in case.found}, place.trust)
    insist(place.policy, Alias.PRODUCTION, case)
    if exempt := exemption(case):
        report("policy", exempt, 1.0)


def replica_of(place: Workplace, version: ModelVersion) -> ReplicaSpec:
    """The server of this version, on the very runtime it was judged on.

    Raises UsageError when a part is gone, Refused when its files are not those that were judged.
    """
    weights = weights_of(place, version)
    _check_bytes(place, weights)
    installed = runtime_of(place, version.runtime)
    # Users ask for the model by its registry name, whichever version answers.
    served = Served(version.name, weights, version.serve, installed)
    return replica(place, served, revision=_revision(version))


def _check_bytes(place: Workplace, weights: Manifest) -> None:
    """What was judged is what is served: each byte is read again before a server loads it."""
    with place.stage("check", f"{in_words(weights.size)} of weights"):
        heard = byte_counter("check", lambda: weights.size)
        check_served(place.blobs, place.unpacked(weights), weights, heard)


def production_revision(place: Workplace, version: ModelVersion) -> str | None:
    """The revision that the alias ``production`` names for this model and GPU class, if it names one."""
    number = get_aliases(place.store, place.trust, version.name, version.gpu_class).production
    return f"{version.name}-v{number}" if number else None


def past_rollout(place: Workplace, version: ModelVersion, fleet_name: str) -> dict[str, Any] | None:
    """How this version's turn ended, or None when it had none or is live. Raises RolledBack if it was.

    A rollout that failed for want of infrastructure was no turn.
    """
    aliases = get_aliases(place.store, place.trust, version.name, version.gpu_class)
    if aliases.production == version.number:
        return None
    saved = load_status(place.fleet_store, fleet_name)
    if saved and saved.phase is Phase.ROLLED_BACK and saved.canary.revision == _revision(version):
        return settle(place, version, saved)  # a driver killed in between has not recorded it
    ended = {str(Phase.SUCCEEDED), str(Phase.ROLLED_BACK)}
    found = [
        evidence
        for evidence in list_evidence(place.store, version.release_digest, place.trust)
        if evidence.signer and _outcome(evidence, version) in ended
    ]
    past = newest_of(found, ROLLOUT)
    if past is None:
        return None
    if past.facts["phase"] == Phase.ROLLED_BACK:
        raise _rolled_back(version, str(past.facts.get("reason")))
    return {
        **past.facts,
        "note": f"promoted before; `headgate promote {version.reference}` makes it live again",
    }


def _outcome(evidence: Evidence, version: ModelVersion) -> str | None:
    """The phase a rollout of this version ended in, when the evidence is of one."""
    of_it = evidence.facts.get("revision") == _revision(version)
    return evidence.facts.get("phase") if of_it else None


def _revision(version: ModelVersion) -> str:
    return f"{version.name}-v{version.number}"


def settle(place: Workplace, version: ModelVersion, status: RolloutStatus) -> dict[str, Any]:
    """Record how a rollout ended, move ``production`` if it succeeded, else raise what it came to."""
    publish_timeline(place, version, status)
    if status.phase is Phase.SUCCEEDED:
        point(place, Alias.PRODUCTION, version, f"its rollout succeeded: {status.reason}")
    facts = _facts(status)
    if status.phase.is_terminal:
        record_once(place, ROLLOUT, version.release_digest, status.verdict, facts)
        attach(place, version)
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
        "ended": datetime.fromtimestamp(status.since, UTC).isoformat(timespec="microseconds"),
    }


def _ended(version: ModelVersion, status: RolloutStatus) -> HeadgateError:
    if status.phase is Phase.ROLLED_BACK:
        return _rolled_back(version, status.reason)
    if status.phase is Phase.PAUSED:
        stable = reference_of(status.stable) if status.stable else "the stable version"
        return Inconclusive(
            f"the rollout of {version.reference} is paused at {status.weight} %",
            why=status.reason,
            next_step=f"`headgate promote {version.reference}` goes on, with more traffic; "
            f"`headgate promote {stable}` gives it up",
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
