"""Turn a draft into an immutable, numbered version, once per content, and read versions back.

The index from content to number is a claim: a record is created only under the number its content's
index names, and the index leaves a number only when other content holds it, which is for good. So one
content has one version and one number one content, whoever races, on every machine; a publisher that
died half-way is continued by the next one of that content. No answer rests on a listing or a count:
which number was newest is a hint, and new numbers are above it (``numbers``).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from registry.digest import canonical_json
from registry.errors import HeadgateError, InfrastructureError, Refused, UsageError
from registry.numbers import (
    READERS,
    kept_numbers,
    lost_numbers,
    newest_known,
    number_in,
    remember_newest,
)
from registry.store import Store
from registry.taken import already, as_named, named_records, pointed_at, who_names
from registry.unknown_version import unknown_version
from registry.version import (
    LAST_NUMBER,
    ModelVersion,
    VersionDraft,
    asked_reference,
    check_name,
    parse_reference,
)
from registry.version_record import RECORDS, index_key, parse_record, read_version, version_key


class RecordGone(InfrastructureError):
    """A version was published, and its record is not in the store any more."""


def publish(store: Store, draft: VersionDraft) -> ModelVersion:
    """The version with this content: the one that exists, or a new one under a free number."""
    key = index_key(draft)
    claim, is_new = store.get(key), False
    while True:
        if claim is not None:
            wanted = draft.numbered(_claimed(draft, claim))
            if version := _published_as(store, wanted, is_new=is_new):
                return version
        free = _text(_free_number(store, draft.name))
        is_new = store.compare_and_swap(key, claim, free)
        claim = free if is_new else store.get(key)


def put_version(store: Store, version: ModelVersion) -> ModelVersion:
    """Keep a version made elsewhere under the number it has; returns the one that is kept.

    The same content under that number is left as it is, though its parent may differ. Raises Refused,
    naming both digests, when the number holds other content or the content another number.
    """
    kept = check_free(store, version)
    taken = read_version(store, version.name, version.number)
    if taken is None:
        _newest(store, version.name)
        key, wanted = index_key(version), _text(version.number)
        while (claim := store.get(key)) != wanted:
            _check_claim(store, version, claim)
            store.compare_and_swap(key, claim, wanted)
        taken = _create(store, kept)
    if taken.content_digest != version.content_digest:
        raise already(version, taken, version.number)
    return taken


def check_free(store: Store, version: ModelVersion) -> ModelVersion:
    """What ``put_version`` would keep; raises Refused where that would, and writes nothing."""
    taken = read_version(store, version.name, version.number)
    if taken is None:
        kept = _as_it_was(store, version)
        _check_claim(store, version, store.get(index_key(version)))
        return kept
    if taken.content_digest != version.content_digest:
        raise already(version, taken, version.number)
    return taken


def repair_index(store: Store, name: str) -> list[str]:
    """Make the index name every version's number again; returns the keys that did not."""
    return [index_key(version) for version in list_versions(store, name) if index_version(store, version)]


def index_version(store: Store, version: ModelVersion) -> bool:
    """Make the index name this version's number; returns whether it did not."""
    key, number, wrong = index_key(version), _text(version.number), False
    while (claim := store.get(key)) != number:
        wrong = store.compare_and_swap(key, claim, number) or wrong
    return wrong


def get_version(store: Store, reference: str) -> ModelVersion:
    """The version of a reference such as ``tiny/3``.

    Raises UsageError when there is none, RecordGone when there was one.
    """
    name, number = asked_reference(reference)
    version = read_version(store, name, number)
    if version is None:
        raise _unknown(store, name, number)
    return version


def find_version(store: Store, reference: str) -> ModelVersion | None:
    """The version of a reference, or None when it names none; raises as every read of the store."""
    try:
        return read_version(store, *parse_reference(reference))
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
        prefix = f"{RECORDS}{check_name(name)}/" if name else RECORDS
    except ValueError as problem:
        raise UsageError(str(problem), next_step="`headgate versions` lists every name") from problem
    keys = list(store.list(prefix))
    versions: list[ModelVersion] = []
    damaged: dict[str, InfrastructureError] = {}
    with ThreadPoolExecutor(READERS) as pool:
        for key, data in zip(keys, pool.map(store.get, keys), strict=True):
            try:
                versions += filter(None, [parse_record(key, data)])
            except InfrastructureError as damage:
                damaged[key] = damage
    return sorted(versions, key=lambda version: (version.name, version.number)), damaged


def _unknown(store: Store, name: str, number: int) -> HeadgateError:
    numbers = kept_numbers(store, name)
    # Above what was ever given it is a slip of the pen, and needs no search.
    if number <= max([newest_known(store, name), *numbers]) and number in lost_numbers(store, name):
        return RecordGone(
            f"The record of {name}/{number} is gone from the store",
            why="the version was published: its number is still given to its content",
            next_step="restore the store from a backup, or import or release the version again",
        )
    return unknown_version(store, name, number, numbers)


def _published_as(store: Store, wanted: ModelVersion, *, is_new: bool) -> ModelVersion | None:
    """The version that has this content and number from now on, or None: the number is other content's.

    ``is_new``: the number was free just now, and above all that were given.
    """
    kept = read_version(store, wanted.name, wanted.number)
    if kept is None:
        try:
            if not is_new or newest_known(store, wanted.name) >= wanted.number:
                wanted = _as_it_was(store, wanted)
        except Refused:  # that content's record is lost
            remember_newest(store, wanted.name, wanted.number)  # a hint that was set back finds no end
            return None
        kept = _create(store, wanted)
    return kept if kept.content_digest == wanted.content_digest else None


def _create(store: Store, version: ModelVersion) -> ModelVersion:
    """The version that is kept under this number: this one, unless there was one already."""
    while True:
        if store.put_if_absent(version_key(version.name, version.number), canonical_json(version.to_json())):
            remember_newest(store, version.name, version.number)
            return version
        if taken := read_version(store, version.name, version.number):
            return taken


def _as_it_was(store: Store, version: ModelVersion) -> ModelVersion:
    """The version as ``as_named`` has it; Refused when an alias log has another record under its number."""
    return as_named(version, named_records(store, version.name).get(version.number, ()))


def _free_number(store: Store, name: str) -> int:
    number = _newest(store, name) + 1
    while store.get(version_key(name, number)) is not None:
        number += 1
    if number > LAST_NUMBER:
        step = "release it under another name; or, where no version has such a number, remove"
        named = " and ".join(who_names(store, name, LAST_NUMBER))
        raise UsageError(f"The numbers of {name} are used up", next_step=f"{step} {named} from the store")
    return number


def _newest(store: Store, name: str) -> int:
    """About the highest number there is: a start to look from, so that nothing has to be listed."""
    number = newest_known(store, name)
    if number and store.get(version_key(name, number)) is not None:
        return number
    # No hint: a new name, or a store from before there were any, whose index may lack a record. Or the
    # newest record is gone: its number is not given again, nor any that an alias pointed at.
    pointed = (n for numbers in pointed_at(store, name).values() for n in numbers)
    known = (*kept_numbers(store, name), *lost_numbers(store, name), *named_records(store, name), *pointed)
    number = max([number, *known])
    if number:
        repair_index(store, name)
        remember_newest(store, name, number)
    return number


def _claimed(draft: VersionDraft, claim: bytes) -> int:
    if number := number_in(claim):
        return number
    raise InfrastructureError(
        f"The index entry {index_key(draft)} is damaged",
        why=f"it should be a version's number and is {claim[:40]!r}",
        next_step="`headgate reconcile` writes the index again from the versions",
    )


def _check_claim(store: Store, version: ModelVersion, claim: bytes | None) -> None:
    """Raises Refused when the content has another number or is about to; a claim that lost is none."""
    number = version.number if claim is None else _claimed(version, claim)
    kept = read_version(store, version.name, number)
    if number != version.number and (kept is None or kept.content_digest == version.content_digest):
        raise already(version, kept, number)


def _text(number: int) -> bytes:
    return str(number).encode()
