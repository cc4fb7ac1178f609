"""Turn a draft into an immutable, numbered version, once per content, and read versions back.

A record is created, never replaced: the number is whatever name was still free, so two publishers
cannot share one. The index from content to number is only a short cut, written after the record;
a publisher that died between the two leaves a version that the next one still finds.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from registry.digest import canonical_json
from registry.errors import InfrastructureError, UsageError
from registry.store import Store
from registry.version import ModelVersion, VersionDraft, check_name, parse_reference


def publish(store: Store, draft: VersionDraft) -> ModelVersion:
    """The version with this content: the one that exists, or a new one under the next free number."""
    known = _from_index(store, draft)
    if known:
        return known
    version = _find_or_allocate(store, draft)
    store.put_if_absent(_index_key(draft), str(version.number).encode())
    return version


def get_version(store: Store, reference: str) -> ModelVersion:
    """The version of a reference such as ``tiny/3``; raises UsageError when there is none."""
    try:
        name, number = parse_reference(reference)
    except ValueError as problem:
        raise UsageError(str(problem), next_step="write it as NAME/NUMBER, for example tiny/3") from problem
    version = _read(store, _key(name, number))
    if version is None:
        known = ", ".join(v.reference for v in list_versions(store, name)) or "none"
        raise UsageError(
            f"There is no version {reference}",
            why=f"the versions of {name} are: {known}",
            next_step="`headgate versions` lists everything that is published",
        )
    return version


def list_versions(store: Store, name: str | None = None) -> list[ModelVersion]:
    """All versions of a name, or of every name: by name, then by number; UsageError for a malformed name."""
    try:
        prefix = f"versions/{check_name(name)}/" if name else "versions/"
    except ValueError as problem:
        raise UsageError(str(problem), next_step="`headgate versions` lists every name") from problem
    versions = [_read(store, key) for key in store.list(prefix)]
    return sorted((v for v in versions if v), key=lambda version: (version.name, version.number))


def _from_index(store: Store, draft: VersionDraft) -> ModelVersion | None:
    number = store.get(_index_key(draft))
    if number is None or not number.isdigit():
        return None
    version = _read(store, _key(draft.name, int(number)))
    # The index is believed only as far as the record it names agrees.
    return version if version and version.content_digest == draft.content_digest else None


def _find_or_allocate(store: Store, draft: VersionDraft) -> ModelVersion:
    # Every number up to the one we take is looked at, and none at or below the highest is taken. So two
    # publishers of one content cannot make two versions of it, and a removed version's number stays gone.
    highest = _highest_number(store, draft.name)
    number = 0
    while True:
        number += 1
        key = _key(draft.name, number)
        if number > highest and store.put_if_absent(key, _record(draft, number)):
            return draft.numbered(number)
        taken = _read(store, key)
        if taken and taken.content_digest == draft.content_digest:
            return taken


def _highest_number(store: Store, name: str) -> int:
    stems = (PurePosixPath(key).stem for key in store.list(f"versions/{name}/"))
    return max((int(stem) for stem in stems if stem.isdigit()), default=0)


def _record(draft: VersionDraft, number: int) -> bytes:
    return canonical_json(draft.numbered(number).to_json())


def _read(store: Store, key: str) -> ModelVersion | None:
    data = store.get(key)
    if data is None:
        return None
    try:
        return ModelVersion.from_json(json.loads(data))
    except (ValueError, KeyError, TypeError) as problem:
        raise InfrastructureError(
            f"The version record {key} cannot be read",
            why=f"{type(problem).__name__}: {problem}",
            next_step="it was changed by hand or written by a newer Headgate: restore it, or upgrade",
        ) from problem


def _key(name: str, number: int) -> str:
    return f"versions/{check_name(name)}/{number:06d}.json"


def _index_key(draft: VersionDraft) -> str:
    return f"versions-by-content/{draft.name}/{draft.content_digest.hex}"
