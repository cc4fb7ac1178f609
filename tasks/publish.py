"""Publish: record an immutable version, and point ``candidate`` at it once it is attested."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from registry.alias import Alias
from registry.alias_log import move_alias
from registry.publish import publish as publish_version
from registry.version import ModelVersion, VersionDraft
from tasks.actor import actor
from tasks.workplace import Workplace


@task(cache_policy=NO_CACHE)
def publish(place: Workplace, draft: VersionDraft) -> ModelVersion:
    """The version with this content, new or the one that exists already."""
    with place.stage("publish", draft.name):
        return publish_version(place.store, draft)


def point(place: Workplace, alias: Alias, version: ModelVersion, why: str) -> None:
    """Move an alias of the version's model and GPU class to it; what points there already stays."""
    move_alias(
        place.store,
        place.signer,
        place.trust,
        name=version.name,
        gpu_class=version.gpu_class,
        alias=alias,
        number=version.number,
        at=datetime.now(UTC),
        who=actor(),
        why=why,
        run=place.run.run_id,
        record=version.record_digest,
    )
