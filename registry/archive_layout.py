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

from registry.atomic import may_write
from registry.blobs import BlobStore
from registry.bundle import BUNDLE_MEDIA_TYPE
from registry.data_errors import worded
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
_PARTS = {"blobs", "index.json", "oci-layout"}  # an interrupted export leaves some of them
_WHICH = "name the folder that `headgate export` wrote"
_AGAIN = "run the export or the copy again, if it was interrupted: it goes on from there"
_LONGEST_RECORD = 64 << 20  # bytes; a record is read whole


@dataclass(frozen=True)
class Archived:
    """The records of one version in an archive, by their keys in a store; nothing of them is checked yet.

    ``seal`` is the exporter's signed list of them. ``keys`` has the name, as the exporter knows it, of each
    key that signed, by its id: the digest of its PEM, which is a blob of the archive.
    """

    tag: str
    records: Mapping[str, bytes]
    keys: Mapping[str, str]
    seal: bytes | None = None


def image_tag(version: ModelVersion) -> str:
    """The tag of a version's image."""
    return f"{version.name}-v{version.number}"


def open_layout(folder: Path) -> OciLayout:
    """The layout in a folder; every blob lies in it whole, weights too."""
    return OciLayout(folder, BlobStore(folder / "blobs"))


def open_target(folder: Path) -> OciLayout:
    """The layout to export into: a new folder, an archive, or what an interrupted export left, which goes on.

    Raises UsageError for a folder that holds other things or cannot be written, Refused for an archive whose
    index is damaged.
    """
    layout = open_layout(folder)
    try:
        if why := _unfit(folder):
            what, next_step = f"Nothing is exported to {folder}", "name a new or empty folder"
            raise UsageError(what, why=why, next_step=next_step)
        layout.tagged()
    except OSError as problem:
        raise UsageError(f"{folder} cannot be read", why=problem.strerror or str(problem)) from problem
    except (InfrastructureError, RecursionError) as damage:
        next_step = "remove the folder and export again, or name a new one"
        raise Refused(f"The archive {folder} is damaged", why=told(damage), next_step=next_step) from damage
    return layout


def _unfit(folder: Path) -> str:
    """Why nothing can be exported into a folder, or nothing."""
    here = folder.absolute()
    above = next(path for path in (here, *here.parents) if path.exists())
    if not above.is_dir():
        return f"{above} is a file" if above != here else "it is a file, and an archive is a folder"
    if not may_write(above):
        return f"{above} cannot be written: it belongs to somebody else, or is read-only"
    names = {path.name for path in (here.iterdir() if here.exists() else ())}
    if "oci-layout" in names or {name for name in names if name[0] != "."} <= _PARTS:
        return ""
    return "it holds other files, and an archive is a folder of its own"


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
            raise _absent(folder)
        found = [(tag, d) for tag, d in layout.tagged().items() if d.artifact_type == VERSION_TYPE]
        archived = [_read(layout, folder, tag, descriptor) for tag, descriptor in found]
    except (InfrastructureError, RecursionError) as damage:
        raise damaged(folder, told(damage)) from damage
    except OSError as problem:
        raise _no_archive(folder, problem.strerror or str(problem)) from problem
    if not archived:
        raise _no_archive(folder, "no version is listed in its index.json", _AGAIN)
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
    next_step = (
        "copy the archive again, or export into a new folder (sha256:X is the file blobs/sha256/X in it)"
    )
    return Refused(f"The archive {folder} is damaged, and nothing is imported", why=why, next_step=next_step)


def told(problem: object) -> str:
    """What is wrong with an archive, without the advice for a home."""
    return str(problem).partition(" Next: ")[0]


def _no_archive(folder: Path, why: str, next_step: str = _WHICH) -> UsageError:
    return UsageError(f"{folder} is no archive of versions", why=why, next_step=next_step)


def _absent(folder: Path) -> UsageError:
    """The error for a folder without an index.json."""
    if not folder.exists():
        return _no_archive(folder, "there is no such folder")
    if not folder.is_dir():
        return _no_archive(folder, "it is a file", "unpack it, if it is an archive, and name the folder")
    if not any(folder.iterdir()):
        return _no_archive(folder, "it is empty")
    if not (folder / "blobs").is_dir():
        return _no_archive(folder, "it holds other files")
    return _no_archive(folder, "it has no index.json, which an export writes last", _AGAIN)


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
    keys: dict[str, str] = {}
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
            layout.read(layer.digest)
            keys[layer.digest.hex] = name
    return Archived(tag, records, keys, seal)


def _layers(folder: Path, manifest: bytes) -> list[Descriptor]:
    try:
        return [Descriptor.from_json(layer) for layer in json.loads(manifest)["layers"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        why = f"a version's manifest cannot be read ({worded(problem)})"
        raise damaged(folder, why) from problem
