"""Carries versions from home to home: out into an archive, and in again, all of it checked on arrival.

What an archive says, that nothing is missing too, is believed only as far as the keys trusted here have
signed it, and nothing of it is written before all of it was read. Bytes come first and the version's record
last, so that an import that was interrupted shows nothing, and running it again goes on. Aliases do not
travel, their history does.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from registry.archive_check import Arrival, check_archive
from registry.archive_layout import (
    content_of,
    image_tag,
    open_layout,
    open_target,
    put_version,
    sealed_before,
    told,
)
from registry.archive_seal import Exporter, seal_export
from registry.atomic import explained, sync_file, temporary_beside
from registry.blobs import BlobStore
from registry.data_errors import worded
from registry.descriptor import Descriptor
from registry.digest import Digest
from registry.errors import Refused
from registry.evidence import Evidence, read_evidence, subjects_of
from registry.file_layer import FileLayer
from registry.lost_evidence import check_kept
from registry.manifest import Manifest
from registry.manifests import load_manifest, manifest_key
from registry.named_version import named_version
from registry.oci_layout import OciLayout
from registry.predicates import ALIAS_MOVE
from registry.publish import check_free
from registry.publish import put_version as keep_version
from registry.referrers import attachable
from registry.store import Store
from registry.trust import Trust, TrustedKey
from registry.verify import Holdings, check_manifest
from registry.verify_evidence import check_release, read_said
from registry.verify_image import MODELS, Heard, image_parts, read_small
from registry.version import ModelVersion
from registry.version_record import RECORDS, version_key

_READ_SIZE = 1 << 20


def export_version(
    held: Holdings, reference: str, folder: Path, exporter: Exporter, heard: Heard
) -> ModelVersion:
    """Add a version to the archive in a folder: image, evidence, record; every byte is hashed on the way.

    The exporter signs for all of it together. ``heard`` hears how many bytes each step wrote. Raises
    UsageError for an unknown version or a folder that cannot take it, RecordGone for a version that is lost,
    Refused when the version or the archive is damaged, or nobody trusted vouches for the version.
    """
    layout = open_target(folder)
    version = named_version(held.store, held.trust, reference)
    said = read_said(held.store, held.trust, version)
    if said.damaged:
        next_step = f"`headgate verify {reference}` shows everything that is wrong with it"
        raise Refused(
            f"{reference} is not exported",
            why=" ".join(map(told, said.damaged.values())),
            next_step=next_step,
        )
    check_release(version, said)
    check_kept(held.store, held.layout, version, {e.digest for e in said.evidence}, held.trust)
    records = dict(_records(held.store, held.trust, version))
    config, layers = image_parts(held.layout, version.image)
    for part in (config, *layers):
        _copy_blob(held.layout, part, content_of(folder, part.digest), heard)
    layout.tag(image_tag(version), layout.put_manifest(read_small(held.layout, version.image)))
    layout.put_referrers(version.image, _bundles(records))
    seal = seal_export(version, records, exporter, sealed_before(layout, folder, version))
    put_version(layout, version, records, seal, _signers(held.trust, said.evidence, exporter))
    return version


def import_archive(held: Holdings, folder: Path, heard: Heard) -> list[Arrival]:
    """Keep every version of an archive, under the numbers they have; what is here already stays as it is.

    ``heard`` hears how many bytes each step read. Raises Refused, before anything is written, when
    anything in the archive is damaged, missing, not signed by keys trusted here, or would be another
    version's number; UsageError when the folder is no archive. To be called in an open run: garbage
    collection then leaves alone what is here already and not yet listed.
    """
    arrivals = check_archive(held.trust, folder, heard)
    for arrival in arrivals:
        check_free(held.store, arrival.version)
    for arrival in arrivals:
        _keep(held, folder, arrival, heard)
    return arrivals


def _records(store: Store, trust: Trust, version: ModelVersion) -> Iterator[tuple[str, bytes]]:
    keys = [version_key(version.name, version.number)]
    for digest in (version.source_manifest, version.weights_manifest):
        check_manifest(store, digest)
        keys.append(manifest_key(digest))
    for subject in subjects_of(version):
        keys += store.list(f"evidence/{subject.hex}/")
    for key in keys:
        data = store.get(key)
        if data is None:
            what = f"{version.reference} is not exported"
            raise Refused(what, why=f"{key} is missing", next_step="restore the store from a backup")
        yield key, data
    # A move is signed, and its subject is the version's record: in another house it is evidence of history.
    for key in store.list(f"audit/{version.name}/{version.gpu_class}/"):
        data = store.get(key) or b""
        if _speaks_of(key, data, trust) == version.record_digest:
            yield _evidence_key(version.record_digest, data), data


def _speaks_of(key: str, data: bytes, trust: Trust) -> Digest:
    try:
        return read_evidence(data, trust).subject
    except ValueError as problem:
        next_step = "`headgate reconcile` says what is wrong with the log of the aliases"
        raise Refused(f"The move {key} is damaged", why=worded(problem), next_step=next_step) from problem


def _signers(trust: Trust, said: Iterable[Evidence], exporter: Exporter) -> list[TrustedKey]:
    """The keys that signed what travels, as far as they have names here; the exporter's in any case."""
    signed_by = {exporter.key.key_id, *(e.key_id for e in said)}
    named = [key for key in trust.keys if key.key_id in signed_by]
    return named if trust.find(exporter.key.key_id) else [*named, exporter.key]


def _copy_blob(layout: OciLayout, blob: Descriptor, target: Path, heard: Heard) -> None:
    if target.is_file() and target.stat().st_size == blob.size:
        return  # it took its name when it was whole
    with layout.open_blob(blob.digest) as stream, explained(target), temporary_beside(target) as temporary:
        _copy(stream, temporary, blob.digest, blob.size, heard)
        temporary.replace(target)


def _copy(stream: BinaryIO, target: Path, digest: Digest, size: int, heard: Heard) -> None:
    """Write so many bytes of a stream to a file, on disk when this returns; Refused for another digest."""
    hasher, left = hashlib.sha256(), size
    with target.open("xb") as file:
        while chunk := stream.read(min(left, _READ_SIZE)):
            file.write(chunk)
            hasher.update(chunk)
            heard(len(chunk))
            left -= len(chunk)
    sync_file(target)
    if hasher.hexdigest() != digest.hex:
        why = f"what was read has the digest sha256:{hasher.hexdigest()}"
        raise Refused(f"{digest} has been changed", why=why, next_step="restore it, or release again")


def _keep(held: Holdings, folder: Path, arrival: Arrival, heard: Heard) -> None:
    version, records, archive = arrival.version, arrival.records, open_layout(folder)
    weights = load_manifest(records, version.weights_manifest)
    config, layers = image_parts(archive, version.image)
    for layer in layers:
        _keep_layer(held, content_of(folder, layer.digest), layer, weights, heard)
    held.layout.put_blob(read_small(archive, config.digest), config.media_type)
    image = held.layout.put_manifest(read_small(archive, version.image))
    held.layout.tag(f"{version.name}-{version.image.short}", image)
    kept = {key: records.get(key) or b"" for key in records.list("")}
    for key, data in kept.items():
        if not key.startswith(RECORDS):
            held.store.put_if_absent(key, data)
    held.layout.put_referrers(version.image, _bundles(kept))
    keep_version(held.store, version)


def _keep_layer(held: Holdings, whole: Path, layer: Descriptor, weights: Manifest, heard: Heard) -> None:
    """Keep a layer as a header and a blob: weights lie on disk once."""
    if held.layout.claim(layer):
        return
    if held.blobs is None:
        raise ValueError("an archive cannot be imported into an archive")
    with whole.open("rb") as file:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            member = next(member for member in archive if member.isreg())
        entry = weights.files[member.name.removeprefix(MODELS)]
        file.seek(0)
        header = file.read(member.offset_data)
        if not held.blobs.claim([entry.digest]):
            _add_blob(held.blobs, file, entry.digest, entry.size, heard)
    kept = held.layout.put_file_layer(FileLayer(header, entry.digest, entry.size), heard)
    if kept.digest != layer.digest:
        why = f"made of it, the layer {layer.digest} has the digest {kept.digest}"
        next_step = f"remove {held.blobs.path(entry.digest)} and import again"
        raise Refused(f"The blob {entry.digest} has been changed here", why=why, next_step=next_step)


def _add_blob(blobs: BlobStore, file: BinaryIO, digest: Digest, size: int, heard: Heard) -> None:
    path = blobs.path(digest)
    with explained(path), temporary_beside(path) as temporary:
        _copy(file, temporary, digest, size, heard)
        blobs.add_file(temporary, digest)


def _bundles(records: Mapping[str, bytes]) -> list[bytes]:
    """What is attached to the image: everything that is signed about it, but no moves of aliases."""
    signed = attachable(data for key, data in records.items() if key.startswith("evidence/"))
    return [data for data in signed if read_evidence(data, Trust()).kind != ALIAS_MOVE]


def _evidence_key(subject: Digest, data: bytes) -> str:
    return f"evidence/{subject.hex}/{Digest.of_bytes(data).hex}.json"
