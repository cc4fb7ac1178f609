"""How versions lie in an archive: an OCI image layout that other tools read, and one more manifest each.

Images are tagged ``<name>-v<number>``, with what is signed about them attached as referrers. The manifest
of a version is tagged ``headgate-<name>-v<number>``; its layers are the store's records, each annotated
with its key. One more is the exporter's signed list of them (``archive_seal``), and the public keys that
signed it all lie beside it, so that people can compare and trust them: whose signatures count is never read
from an archive.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.blobs import BlobStore
from registry.bundle import BUNDLE_MEDIA_TYPE
from registry.descriptor import EMPTY_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError, Refused, UsageError
from registry.oci_layout import OciLayout
from registry.referrers import EMPTY_BLOB
from registry.trust import TrustedKey
from registry.version import ModelVersion

VERSION_TYPE = "application/vnd.headgate.version.v1+json"
"""The artifact type of a version's manifest."""

_RECORD_TYPE = "application/vnd.headgate.record.v1+json"
_KEY_TYPE = "application/x-pem-file"
_STORE_KEY, _SEALS, _KEY_NAME = "headgate.store-key", "headgate.seals", "headgate.key-name"
_LONGEST_RECORD = 64 << 20  # bytes; a record is read whole


@dataclass(frozen=True)
class Archived:
    """The records of one version in an archive, by their keys in a store; nothing of them is checked yet.

    ``seal`` is the exporter's signed list of them. ``keys`` maps the names of the keys that signed, as the
    exporter knows them, to files with their PEM.
    """

    tag: str
    records: Mapping[str, bytes]
    keys: Mapping[str, Path]
    seal: bytes | None = None


def image_tag(version: ModelVersion) -> str:
    """The tag of a version's image."""
    return f"{version.name}-v{version.number}"


def open_layout(folder: Path) -> OciLayout:
    """The layout in a folder; every blob lies in it whole, weights too."""
    return OciLayout(folder, BlobStore(folder / "blobs"))


def refuse_other_folders(folder: Path) -> None:
    """Raises UsageError for a folder that holds something else than an image layout."""
    try:
        taken = folder.is_dir() and any(folder.iterdir()) and not (folder / "oci-layout").is_file()
    except OSError as problem:
        raise UsageError(f"{folder} cannot be read", why=problem.strerror or str(problem)) from problem
    if taken or (folder.exists() and not folder.is_dir()):
        why = "it holds other files, and an archive is a folder of its own"
        raise UsageError(f"Nothing is exported to {folder}", why=why, next_step="name a new or empty folder")


def put_version(
    layout: OciLayout,
    version: ModelVersion,
    records: Mapping[str, bytes],
    seal: bytes,
    keys: Iterable[TrustedKey],
) -> None:
    """Add a version's manifest, last: whoever finds it finds everything."""
    layers = [_record(layout, key, data) for key, data in sorted(records.items())]
    layers.append(_blob(layout, BUNDLE_MEDIA_TYPE, seal, {_SEALS: version.reference}))
    layers += [_public(layout, key) for key in sorted(keys, key=lambda key: key.name)]
    config = layout.put_blob(EMPTY_BLOB, EMPTY_MEDIA_TYPE)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_MEDIA_TYPE,
        "artifactType": VERSION_TYPE,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    kept = layout.put_manifest(canonical_json(manifest))
    listed = Descriptor(kept.media_type, kept.digest, kept.size, artifact_type=VERSION_TYPE)
    layout.tag(_tag(version), listed)


def read_versions(folder: Path) -> list[Archived]:
    """Every version in an archive, by tag; Refused for a damaged one, UsageError where there is none."""
    layout = open_layout(folder)
    try:
        if not (folder / "index.json").is_file():
            raise _no_archive(folder, "it has no index.json")
        found = [(tag, d) for tag, d in layout.tagged().items() if d.artifact_type == VERSION_TYPE]
        archived = [_read(layout, folder, tag, descriptor) for tag, descriptor in found]
    except InfrastructureError as damage:
        raise damaged(folder, str(damage)) from damage
    except OSError as problem:
        raise _no_archive(folder, problem.strerror or str(problem)) from problem
    if not archived:
        raise _no_archive(folder, "no version is listed in its index.json")
    return archived


def sealed_before(layout: OciLayout, folder: Path, version: ModelVersion) -> bytes | None:
    """The list of a version's records that the archive in a folder has already; None for a damaged one."""
    try:
        there = layout.tagged().get(_tag(version))
        return _read(layout, folder, _tag(version), there).seal if there else None
    except (Refused, InfrastructureError):
        return None  # exporting writes it anew


def damaged(folder: Path, why: str) -> Refused:
    """The error for an archive that is not what was exported."""
    what = f"Nothing is imported from {folder}"
    return Refused(what, why=why, next_step="copy the archive again, or export it again")


def _no_archive(folder: Path, why: str) -> UsageError:
    next_step = "name the folder that `headgate export` wrote"
    return UsageError(f"{folder} is no archive of versions", why=why, next_step=next_step)


def content_of(folder: Path, blob: Digest) -> Path:
    """Where a blob of an archive lies."""
    return folder / "blobs" / "sha256" / blob.hex


def _record(layout: OciLayout, key: str, data: bytes) -> Descriptor:
    kind = BUNDLE_MEDIA_TYPE if key.startswith("evidence/") else _RECORD_TYPE
    return _blob(layout, kind, data, {_STORE_KEY: key})


def _public(layout: OciLayout, key: TrustedKey) -> Descriptor:
    return _blob(layout, _KEY_TYPE, key.pem.encode(), {_KEY_NAME: key.name})


def _blob(layout: OciLayout, kind: str, data: bytes, annotations: Mapping[str, str]) -> Descriptor:
    kept = layout.put_blob(data, kind)
    return Descriptor(kind, kept.digest, kept.size, annotations)


def _tag(version: ModelVersion) -> str:
    return f"headgate-{image_tag(version)}"


def _read(layout: OciLayout, folder: Path, tag: str, descriptor: Descriptor) -> Archived:
    records: dict[str, bytes] = {}
    keys: dict[str, Path] = {}
    seal: bytes | None = None
    for layer in _layers(folder, layout.read(descriptor.digest)):
        path = content_of(folder, layer.digest)
        if path.is_file() and path.stat().st_size > _LONGEST_RECORD:
            raise damaged(folder, f"{layer.digest} in {tag} is too large for a record")
        key = layer.annotations.get(_STORE_KEY)
        if key is not None:
            records[key] = layout.read(layer.digest)
        elif _SEALS in layer.annotations:
            seal = layout.read(layer.digest)
        elif name := layer.annotations.get(_KEY_NAME):
            keys[name] = path
    return Archived(tag, records, keys, seal)


def _layers(folder: Path, manifest: bytes) -> list[Descriptor]:
    try:
        return [Descriptor.from_json(layer) for layer in json.loads(manifest)["layers"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        why = f"a version's manifest cannot be read ({type(problem).__name__}: {problem})"
        raise damaged(folder, why) from problem
