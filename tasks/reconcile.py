"""Reconcile: what a run that died, another tool or a lost file left half done, found and mended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from registry.attachment import Attachment
from registry.errors import HeadgateError
from registry.garbage import Retention
from registry.oci_auth import docker_credentials
from registry.oci_client import OciClient
from registry.problem import Problem
from registry.reconcile import Reconciler
from registry.sweep import missing_bytes
from tasks.actor import actor
from tasks.live_versions import LiveVersions
from tasks.progress import report
from tasks.workplace import Workplace

_STAGE = "reconcile"


@task(cache_policy=NO_CACHE)
def reconcile(place: Workplace, *, apply: bool) -> dict[str, Any]:
    """Each problem with what helps, and whether that was done; nothing is changed unless ``apply``.

    ``left`` counts those that somebody has to see to, ``unseen`` places that could not be looked at. Raises
    InfrastructureError when the store fails.
    """
    with place.stage(_STAGE, "looking for what is not whole"):
        found = [_told(problem, apply=apply) for problem in _problems(place)]
    unseen = sum(row["unseen"] for row in found)
    left = sum(not (row["mended"] or row["harmless"] or row["unseen"]) for row in found)
    return {"applied": apply, "problems": found, "left": left, "unseen": unseen}


def _told(problem: Problem, *, apply: bool) -> dict[str, Any]:
    report(_STAGE, problem.what)
    row = {"what": problem.what, "remedy": problem.remedy, "mended": False}
    row |= {"harmless": problem.harmless, "unseen": problem.unseen}
    if apply and problem.mend:
        try:
            row["mended"] = problem.mend()
        except HeadgateError as error:
            row["remedy"] = f"{problem.remedy}, which failed: {error}"
    return row


def _problems(place: Workplace) -> Iterator[Problem]:
    now = datetime.now(UTC)
    yield from Reconciler(
        store=place.store,
        signer=place.signer,
        trust=place.trust,
        layout=place.layout,
        who=actor(),
        run=place.run.run_id,
        now=now,
        connect=_connect,
    ).problems()
    yield from _incomplete(place, now)


def _incomplete(place: Workplace, now: datetime) -> Iterator[Problem]:
    """Live versions of which this machine has a part: a rollback to one would fail."""
    try:
        needed = Retention(rollbacks=0, rollback_seconds=0)  # what a collection may have taken is no problem
        versions = LiveVersions(place, needed, now).versions
    except HeadgateError as problem:
        remedy = f"{problem.next_step}; until then garbage collection removes nothing".lstrip("; ")
        yield Problem(problem.problem, remedy)
        return
    for version, manifests in versions:
        weights = next(m for m in manifests if m.set_digest == version.weights_set)
        try:
            missing = missing_bytes(version, weights, place.blobs, place.layout)
        except HeadgateError as damage:
            what = f"{version.reference} is damaged on this machine: {damage.problem}"
            yield Problem(what, damage.next_step)
            continue
        here = len(place.blobs.missing(weights)) < len(weights.files)
        if missing and here:
            what = f"{version.reference} is not whole on this machine: {'; '.join(missing)}"
            yield Problem(what, "release it again, or import it")


def _connect(place: Attachment) -> OciClient:
    return OciClient(place.repository, docker_credentials(place.repository.host, os.environ))
