"""Evidence beside an image in a registry: attached, found again, and mended.

A registry with the referrers API lists what we push by itself. For one without, the client keeps an index
under a fallback tag, which has no compare-and-swap: updates of ours take turns under a store lease and are
read back, and what another tool's update wrote over meanwhile is mended by attaching again, as ``reconcile``
does. Where evidence was attached is remembered in the store, until somebody has it forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from registry.data_errors import worded
from registry.descriptor import Descriptor
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError, UsageError
from registry.lease import held
from registry.oci_client import OciClient, Repository
from registry.referrers import (
    EMPTY_BLOB,
    attachable,
    bundle_in,
    bundle_manifest,
    fallback_tag,
    merged_index,
    read_index,
    referrer_of,
)
from registry.store import Store

_FORMAT = 1
_TRIES = 4
_LEASES = 256  # as many records at most, whatever is attached where


@dataclass(frozen=True)
class Attached:
    """What attaching came to: the digests of the bundles' manifests that were new, and of all of them."""

    new: tuple[Digest, ...]
    all: tuple[Digest, ...]


@dataclass(frozen=True)
class Attachment:
    """A place evidence about an image was attached at."""

    image: Digest
    repository: Repository


@dataclass(frozen=True)
class _Artifact:
    bundle: bytes
    manifest: bytes
    descriptor: Descriptor

    @classmethod
    def of(cls, subject: Descriptor, bundle: bytes) -> _Artifact:
        manifest = bundle_manifest(subject, bundle)
        return cls(bundle, manifest, referrer_of(manifest))

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest


def attach(client: OciClient, store: Store, holder: str, image: Digest, bundles: Iterable[bytes]) -> Attached:
    """Attach signed statements to an image that is in the repository already; again adds what is missing.

    ``holder`` says who waits or works, to people. Raises UsageError when the image is not there,
    InfrastructureError when the registry does not keep what it was given, TimedOut when another's
    update does not end.
    """
    subject = _subject(client, image)
    artifacts = [_Artifact.of(subject, bundle) for bundle in attachable(bundles)]
    present = {d.digest for d in _listed(client, image)}
    new = [a for a in artifacts if a.digest not in present or not client.has_manifest(a.digest)]
    if artifacts:
        _remember(store, image, client.repository)
    if new:
        client.put_blob(EMPTY_BLOB)
        for artifact in new:
            client.put_blob(artifact.bundle)
            client.put_manifest(artifact.manifest)
        _list(client, store, holder, image, [artifact.descriptor for artifact in artifacts])
    return Attached(tuple(a.digest for a in new), tuple(a.digest for a in artifacts))


def attached(client: OciClient, image: Digest) -> dict[Digest, bytes]:
    """The bundles attached to an image, other tools' too, by digest; what cannot be read whole is left out.

    Nothing is said about who signed them: ``evidence.read_evidence`` does.
    """
    found: dict[Digest, bytes] = {}
    for referrer in _listed(client, image):
        manifest = client.get_manifest(referrer.digest)
        layer = bundle_in(manifest[1], image) if manifest else None
        data = client.get_blob(layer.digest) if layer else None
        if layer and data is not None:
            found[layer.digest] = data
    return found


def attachments(store: Store) -> list[Attachment]:
    """Every place evidence was attached at; InfrastructureError for a damaged record."""
    places, damaged = read_attachments(store)
    for damage in damaged:
        raise damage
    return places


def read_attachments(store: Store) -> tuple[list[Attachment], list[InfrastructureError]]:
    """Every place evidence was attached at, and what is wrong with the records that are damaged."""
    records = {key: store.get(key) for key in store.list("attachments/")}
    places: list[Attachment] = []
    damaged: list[InfrastructureError] = []
    for key, data in records.items():
        try:
            places += [] if data is None else [_attachment(key, data)]
        except InfrastructureError as damage:
            damaged.append(damage)
    return places, damaged


def forget(store: Store, image: Digest, repository: Repository) -> bool:
    """Look after what is attached there no longer; whether it was. Nothing of it is removed."""
    key, data = _record(image, repository)
    there = store.get(key) == data
    store.delete(key)
    return there


def _attachment(key: str, data: bytes) -> Attachment:
    try:
        value = json.loads(data)
        if value["format"] != _FORMAT:
            raise ValueError(f"it has the format {value['format']!r}, this Headgate reads {_FORMAT}")
        return Attachment(Digest.parse(value["image"]), Repository.parse(value["repository"]))
    except (ValueError, KeyError, TypeError, UsageError) as problem:
        why = worded(problem)
        next_step = "remove it, and attach the evidence again"
        raise InfrastructureError(f"The record {key} is damaged", why=why, next_step=next_step) from problem


def _subject(client: OciClient, image: Digest) -> Descriptor:
    found = client.get_manifest(image)
    if found is None:
        raise UsageError(
            f"The image {image} is not in {client.repository}",
            why="evidence is attached to an image that is there",
            next_step="push the image there first, with any tool, and check that its digest stayed the same",
        )
    return found[0]


def _listed(client: OciClient, image: Digest) -> list[Descriptor]:
    listed = client.listed(image)
    return _fallback(client, image)[1] if listed is None else listed


def _fallback(client: OciClient, image: Digest) -> tuple[bytes | None, list[Descriptor]]:
    found = client.get_manifest(fallback_tag(image))
    try:
        return (found[1], read_index(found[1])) if found else (None, [])
    except ValueError as problem:
        what = f"The tag {fallback_tag(image)} of {client.repository} is no list of referrers"
        next_step = "find out which tool wrote it, delete the tag, and run the same command again"
        raise InfrastructureError(what, why=str(problem), next_step=next_step) from problem


def _list(client: OciClient, store: Store, holder: str, image: Digest, referrers: list[Descriptor]) -> None:
    """See to it that the referrers are listed; whoever keeps the list."""
    wanted = {referrer.digest for referrer in referrers}
    for _ in range(_TRIES):
        if client.listed(image) is None:
            with held(store, _lease(client.repository, image), holder) as check:
                index = _fallback(client, image)[0]
                merged = merged_index(index, referrers)
                check()
                if merged != index:
                    client.put_manifest(merged, fallback_tag(image))
        if wanted <= {referrer.digest for referrer in _listed(client, image)}:
            return
    raise InfrastructureError(
        f"{client.repository} does not list what was attached to {image}",
        why=f"{_TRIES} times it was written, and it was not there when read back",
        next_step="see whether another tool writes there too, and run the same command again",
    )


def _lease(repository: Repository, image: Digest) -> str:
    number = int(Digest.of_bytes(f"{repository}@{image}".encode()).hex, 16) % _LEASES
    return f"leases/referrers-{number:02x}.json"


def _remember(store: Store, image: Digest, repository: Repository) -> None:
    store.put_if_absent(*_record(image, repository))


def _record(image: Digest, repository: Repository) -> tuple[str, bytes]:
    """The record of a place, and its key."""
    data = canonical_json({"format": _FORMAT, "image": str(image), "repository": str(repository)})
    return f"attachments/{image.hex}/{Digest.of_bytes(data).hex}.json", data
