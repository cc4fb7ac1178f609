"""Publish: record an immutable version, and point ``candidate`` at it once it is attested."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from registry.alias import Alias
from registry.alias_log import move_alias
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError
from registry.manifest import Manifest
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
    )


def save_manifest(place: Workplace, manifest: Manifest) -> Digest:
    """Keep a manifest under its digest, for records to name."""
    data = canonical_json(manifest.to_json())
    digest = Digest.of_bytes(data)
    place.store.put_if_absent(_key(digest), data)
    return digest


def load_manifest(place: Workplace, digest: Digest) -> Manifest:
    """The manifest a record names; raises InfrastructureError when it is gone or changed."""
    data = place.store.get(_key(digest))
    if data is None or Digest.of_bytes(data) != digest:
        raise InfrastructureError(
            f"the manifest {digest} is {'missing from' if data is None else 'damaged in'} the store",
            why="a version names it",
            next_step="restore the store from a backup, or release the version again",
        )
    return Manifest.from_json(json.loads(data))


def _key(digest: Digest) -> str:
    return f"manifests/{digest.hex}.json"
