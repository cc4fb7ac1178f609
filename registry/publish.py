"""Turn a draft into an immutable, numbered version, once per content, and read versions back.

The index from content to number is a claim: a record is created only under the number its content's
index names, and the index leaves a number only when other content holds it, which is for good. So one
content has one version and one number one content, whoever races, on every machine; a publisher that
died half-way is continued by the next one of that content. No answer rests on a listing or a count:
which number was newest is a hint, and new numbers are above it.
"""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from registry.data_errors import worded
from registry.digest import canonical_json
from registry.errors import HeadgateError, InfrastructureError, Refused, UsageError
from registry.store import Store
from registry.taken import already, as_named, named_records
from registry.unknown_version import unknown_version
from registry.version import ModelVersion, VersionDraft, check_name, parse_reference

_LAST_NUMBER = 999_999  # what a reference can name, and what sorts as its key
_NEWEST = "versions-newest/"
_READERS = 16  # a listing on an object store is one round trip per record: this many at a time


class RecordGone(InfrastructureError):
    """A version was published, and its record is not in the store any more."""


def publish(store: Store, draft: VersionDraft) -> ModelVersion:
    """The version with this content: the one that exists, or a new one under a free number."""
    key = _index_key(draft)
    claim = store.get(key)
    while True:
        if claim is not None:
            with contextlib.suppress(Refused):  # it is other content's, whose record is lost
                version = _create(store, draft.numbered(_claimed(draft, claim)))
                if version.content_digest == draft.content_digest:
                    return version
        wanted = _text(_free_number(store, draft.name))
        claim = wanted if store.compare_and_swap(key, claim, wanted) else store.get(key)


def put_version(store: Store, version: ModelVersion) -> ModelVersion:
    """Keep a version made elsewhere under the number it has; returns the one that is kept.

    The same content under that number is left as it is, though its parent may differ. Raises Refused,
    naming both digests, when the number holds other content or the content another number.
    """
    check_free(store, version)
    taken = _read(store, version.name, version.number)
    if taken is None:
        _newest(store, version.name)
        key, wanted = _index_key(version), _text(version.number)
        while (claim := store.get(key)) != wanted:
            _check_claim(store, version, claim)
            store.compare_and_swap(key, claim, wanted)
        taken = _create(store, version)
    if taken.content_digest != version.content_digest:
        raise already(version, taken, version.number)
    return taken


def check_free(store: Store, version: ModelVersion) -> None:
    """Raises Refused where ``put_version`` would, and writes nothing."""
    taken = _read(store, version.name, version.number)
    if taken is None:
        _unless_named(store, version)
        _check_claim(store, version, store.get(_index_key(version)))
    elif taken.content_digest != version.content_digest:
        raise already(version, taken, version.number)


def repair_index(store: Store, name: str) -> list[str]:
    """Make the index name every version's number again; returns the keys that did not."""
    return [_index_key(version) for version in list_versions(store, name) if index_version(store, version)]


def index_version(store: Store, version: ModelVersion) -> bool:
    """Make the index name this version's number; returns whether it did not."""
    key, number, wrong = _index_key(version), _text(version.number), False
    while (claim := store.get(key)) != number:
        wrong = store.compare_and_swap(key, claim, number) or wrong
    return wrong


def get_version(store: Store, reference: str) -> ModelVersion:
    """The version of a reference such as ``tiny/3``.

    Raises UsageError when there is none, RecordGone when there was one.
    """
    try:
        name, number = parse_reference(reference)
    except ValueError as problem:
        raise UsageError(str(problem), next_step="write it as NAME/NUMBER, for example tiny/3") from problem
    version = _read(store, name, number)
    if version is None:
        raise _unknown(store, name, number)
    return version


def find_version(store: Store, reference: str) -> ModelVersion | None:
    """The version of a reference, or None when it names none; raises as every read of the store."""
    try:
        return _read(store, *parse_reference(reference))
    except ValueError:
        return None


def list_versions(store: Store, name: str | None = None) -> list[ModelVersion]:
    """All versions, as ``read_versions`` has them; InfrastructureError for a damaged record."""
    versions, damaged = read_versions(store, name)
    for damage in damaged.values():
        raise damage
    return versions


def read_versions(
    store: Store, name: str | None = None
) -> tuple[list[ModelVersion], dict[str, InfrastructureError]]:
    """All versions of a name, or of every name, by name and number; and by key what is wrong with others.

    Raises UsageError for a malformed name.
    """
    try:
        prefix = f"versions/{check_name(name)}/" if name else "versions/"
    except ValueError as problem:
        raise UsageError(str(problem), next_step="`headgate versions` lists every name") from problem
    keys = list(store.list(prefix))
    versions: list[ModelVersion] = []
    damaged: dict[str, InfrastructureError] = {}
    with ThreadPoolExecutor(_READERS) as pool:
        for key, data in zip(keys, pool.map(store.get, keys), strict=True):
            try:
                versions += filter(None, [parse_record(key, data)])
            except InfrastructureError as damage:
                damaged[key] = damage
    return sorted(versions, key=lambda version: (version.name, version.number)), damaged


def lost_numbers(store: Store, name: str) -> list[int]:
    """The numbers of published versions whose records are gone from the store, sorted.

    The index still names them, and publishing went on from there. A claim above all others proves nothing:
    whoever made it may not have come to write the record.
    """
    newest = _hint(store, name)  # first: what is published while this looks has a higher number
    numbers = _numbers(store, name)
    gaps = {*range(1, max([newest, *numbers]) + 1)} - {*numbers}
    missing = gaps & {*_claims(store, name)} if gaps else set()  # claims are many, and gaps are rare
    return sorted(n for n in missing if store.get(_key(name, n)) is None)


def published(store: Store) -> set[str]:
    """The name of every model that a number was ever given to, whatever is left of its records."""
    return {key.partition("/")[2] for key in store.list(_NEWEST)}


def remember_newest(store: Store, name: str, number: int) -> None:
    """Keep that a number has been given: whatever becomes of its record, no other content gets it."""
    key = _newest_key(name)
    while _number(known := store.get(key)) < number:
        store.compare_and_swap(key, known, _text(number))


def _unknown(store: Store, name: str, number: int) -> HeadgateError:
    numbers = _numbers(store, name)
    # Above what was ever given it is a slip of the pen, and needs no search.
    if number <= max([_hint(store, name), *numbers]) and number in lost_numbers(store, name):
        return RecordGone(
            f"The record of {name}/{number} is gone from the store",
            why="the version was published: its number is still given to its content",
            next_step="restore the store from a backup, or import or release the version again",
        )
    return unknown_version(store, name, number, numbers)


def _create(store: Store, version: ModelVersion) -> ModelVersion:
    """The version that is kept under this number: this one, unless there was one already."""
    while True:
        taken = _read(store, version.name, version.number)
        if taken is not None:
            return taken
        version = _unless_named(store, version)
        if store.put_if_absent(_key(version.name, version.number), canonical_json(version.to_json())):
            remember_newest(store, version.name, version.number)
            return version


def _unless_named(store: Store, version: ModelVersion) -> ModelVersion:
    """The version as ``as_named`` has it; Refused when an alias log has another record under its number."""
    if 0 < _hint(store, version.name) < version.number:
        return version  # never given before: no alias can have been moved to it
    return as_named(version, named_records(store, version.name).get(version.number, ()))


def _free_number(store: Store, name: str) -> int:
    number = _newest(store, name) + 1
    while store.get(_key(name, number)) is not None:
        number += 1
    if number > _LAST_NUMBER:
        step = "release it under another name; or, where no version has such a number, remove"
        raise UsageError(
            f"The numbers of {name} are used up", next_step=f"{step} {_newest_key(name)} from the store"
        )
    return number


def _newest(store: Store, name: str) -> int:
    """About the highest number there is: a start to look from, so that nothing has to be listed."""
    number = _hint(store, name)
    if number and store.get(_key(name, number)) is not None:
        return number
    # No hint: a new name, or a store from before there were any, whose index may lack a record. Or the
    # newest record is gone: its number is not given again, nor any that an alias pointed at.
    number = max([number, *_numbers(store, name), *lost_numbers(store, name), *named_records(store, name)])
    if number:
        repair_index(store, name)
        remember_newest(store, name, number)
    return number


def _hint(store: Store, name: str) -> int:
    """The number that was newest when somebody last said so, or 0."""
    return _number(store.get(_newest_key(name)))


def _number(hint: bytes | None) -> int:
    number = int(hint) if hint and hint.isdigit() else 0
    return number if number <= _LAST_NUMBER else 0


def _claims(store: Store, name: str) -> set[int]:
    """Every number that the index names."""
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(store.get, store.list(f"versions-by-content/{name}/"))
        return {int(claim) for claim in found if claim and claim.isdigit()}


def _numbers(store: Store, name: str) -> list[int]:
    stems = (PurePosixPath(key).stem for key in store.list(f"versions/{name}/"))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def _claimed(draft: VersionDraft, claim: bytes) -> int:
    if claim.isdigit() and 0 < int(claim) <= _LAST_NUMBER:
        return int(claim)
    raise InfrastructureError(
        f"The index entry {_index_key(draft)} is damaged",
        why=f"it should be a version's number and is {claim[:40]!r}",
        next_step="`headgate reconcile` writes the index again from the versions",
    )


def _check_claim(store: Store, version: ModelVersion, claim: bytes | None) -> None:
    """Raises Refused when the content has another number or is about to; a claim that lost is none."""
    number = version.number if claim is None else _claimed(version, claim)
    kept = _read(store, version.name, number)
    if number != version.number and (kept is None or kept.content_digest == version.content_digest):
        raise already(version, kept, number)


def _read(store: Store, name: str, number: int) -> ModelVersion | None:
    key = _key(name, number)
    return parse_record(key, store.get(key))


def parse_record(key: str, data: bytes | None) -> ModelVersion | None:
    """The version of a stored record; InfrastructureError when it is damaged, or in another's place."""
    if data is None:
        return None
    try:
        version = ModelVersion.from_json(json.loads(data))
        _check_place(version, key, data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise InfrastructureError(
            f"The version record {key} cannot be read",
            why=worded(problem),
            next_step="it was changed by hand or written by a newer Headgate: restore it, or upgrade",
        ) from problem
    return version


def _check_place(version: ModelVersion, key: str, data: bytes) -> None:
    if key != _key(version.name, version.number):
        raise ValueError(f"it is the record of {version.reference}")
    if canonical_json(version.to_json()) != data:
        raise ValueError("its bytes are not those it was written with")


def _key(name: str, number: int) -> str:
    return f"versions/{check_name(name)}/{number:06d}.json"


def _index_key(draft: VersionDraft) -> str:
    return f"versions-by-content/{draft.name}/{draft.content_digest.hex}"


def _newest_key(name: str) -> str:
    return f"{_NEWEST}{check_name(name)}"


def _text(number: int) -> bytes:
    return str(number).encode()
