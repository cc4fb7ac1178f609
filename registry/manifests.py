"""Lists of files in a store, each under the digest of its content, for version records to name."""

from __future__ import annotations

import json

from registry.data_errors import worded
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError
from registry.manifest import Manifest
from registry.remedy import put_anew
from registry.store import Store

_RESTORE = "restore it from a backup, or release the version again"


def manifest_key(digest: Digest) -> str:
    """Where a store keeps the list of files of this digest."""
    return f"manifests/{digest.hex}.json"


def save_manifest(store: Store, manifest: Manifest) -> Digest:
    """Keep a list of files, once however often; returns the digest that records name it by."""
    data = canonical_json(manifest.to_json())
    digest = Digest.of_bytes(data)
    store.put_if_absent(manifest_key(digest), data)
    return digest


def read_manifest(store: Store, digest: Digest) -> Manifest | None:
    """The list of files of this digest, None if the store has none; InfrastructureError for a damaged one."""
    key = manifest_key(digest)
    data = store.get(key)
    if data is None:
        return None
    try:
        if Digest.of_bytes(data) != digest:
            raise ValueError(f"its content has the digest {Digest.of_bytes(data)}")
        return Manifest.from_json(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        what, why = f"The list of files {key} is damaged", worded(problem)
        raise InfrastructureError(what, why=why, next_step=put_anew(key)) from problem


def load_manifest(store: Store, digest: Digest) -> Manifest:
    """The list of files that a record names; InfrastructureError when it is gone or damaged."""
    found = read_manifest(store, digest)
    if found is None:
        what = f"The list of files {manifest_key(digest)} is missing"
        raise InfrastructureError(what, why="a version names it", next_step=_RESTORE)
    return found
