"""What is really in a weights image: every layer is read as its consumers read it, and hashed on the way.

A layer is read once, for two digests: the layer's own, and that of the file in it. Damage of any kind is
Refused, with the digest that does not hold; what the image should hold is for the caller to say.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from registry.data_errors import worded
from registry.descriptor import Descriptor
from registry.digest import Digest
from registry.errors import InfrastructureError, Refused
from registry.manifest import Manifest, ManifestEntry
from registry.oci_layout import OciLayout
from registry.referrers import media_type_of
from registry.remedy import put_anew
from registry.version import ModelVersion

Heard = Callable[[int], None]
"""Hears how many bytes each step read."""

MODELS = "models/"
_READ_SIZE = 1 << 20
_RESTORE = "restore it from a backup, import the version again, or release it again"


class NotHere(Refused):
    """Bytes that are not on this machine: nothing speaks against them, and whoever needs them is refused."""


@dataclass(frozen=True)
class LayerFile:
    """The one file of a layer: its path, its content, and how many bytes of the layer come before it."""

    layer: Descriptor
    path: str
    entry: ManifestEntry
    offset: int


def read_small(layout: OciLayout, digest: Digest) -> bytes:
    """The bytes of a manifest, a config or another small blob; Refused when they are not what they were."""
    with _opened(layout, digest) as stream:
        data = stream.read()
    if Digest.of_bytes(data) != digest:
        raise Refused(
            f"{digest} has been changed in the image layout", next_step=put_anew(layout.file_of(digest))
        )
    return data


def read_json(layout: OciLayout, digest: Digest) -> dict[str, Any]:
    """The JSON object in a small blob; Refused when it was changed or is no object."""
    try:
        value = json.loads(read_small(layout, digest))
    except (ValueError, RecursionError) as problem:
        raise Refused(f"{digest} cannot be read", why=worded(problem), next_step=_RESTORE) from problem
    if not isinstance(value, dict):
        raise Refused(f"{digest} is not a JSON object", next_step=_RESTORE)
    return value


def image_parts(layout: OciLayout, image: Digest) -> tuple[Descriptor, list[Descriptor]]:
    """The config and the layers that an image manifest names; Refused when it is not one."""
    manifest = read_json(layout, image)
    try:
        config = Descriptor.from_json(manifest["config"])
        layers = [Descriptor.from_json(layer) for layer in manifest["layers"]]
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        why = worded(problem)
        raise Refused(f"{image} is not an image manifest", why=why, next_step=_RESTORE) from problem
    return config, layers


def check_config(layout: OciLayout, version: ModelVersion) -> None:
    """Refused unless the image's config has the manifest's layers and this version's labels."""
    config, layers = image_parts(layout, version.image)
    value = read_json(layout, config.digest)
    labels = (value.get("config") or {}).get("Labels") or {}
    wrong = [name for name, expected in _labels(version).items() if labels.get(name) != expected]
    if wrong:
        why = f"these labels of its config differ from the record: {', '.join(wrong)}"
        raise Refused(f"The image {version.image} is another version's", why=why, next_step=_RESTORE)
    if (value.get("rootfs") or {}).get("diff_ids") != [str(layer.digest) for layer in layers]:
        why = "its config lists other layers than its manifest"
        raise Refused(f"No engine can open the image {version.image}", why=why, next_step=_RESTORE)


def check_listed(layout: OciLayout, digest: Digest) -> None:
    """Refused unless the layout's index lists a manifest as it is: nothing else leads other tools to it."""
    data = read_small(layout, digest)
    if Descriptor(media_type_of(data), digest, len(data)) not in _tagged(layout):
        what = f"The image layout's index does not list {digest}"
        raise Refused(what, why="no tag points at it, or with another type or size", next_step=_RESTORE)


def check_manifest_kept(layout: OciLayout, image: Digest) -> None:
    """NotHere, and why it should be, when an image's manifest is gone though the layout's index lists it."""
    if not layout.has(image) and any(listed.digest == image for listed in _tagged(layout)):
        what = f"The manifest of the image {image} is gone from the image layout"
        raise NotHere(what, why="it was here, as the layout's index lists it", next_step=_RESTORE)


def _tagged(layout: OciLayout) -> list[Descriptor]:
    try:
        return list(layout.tagged().values())
    except InfrastructureError as damage:
        raise Refused(damage.what, why=damage.why, next_step=damage.next_step) from damage


def read_files(
    layout: OciLayout, layers: list[Descriptor], heard: Heard
) -> tuple[dict[str, LayerFile], list[Descriptor]]:
    """The files under ``/models`` by their path below it, all hashed, and the layers that are not here.

    Raises Refused at the first damage.
    """
    found: dict[str, LayerFile] = {}
    absent = []
    for layer in layers:
        try:
            file = read_layer(layout, layer, heard)
        except NotHere:
            absent.append(layer)
            continue
        path = file.path.removeprefix(MODELS)
        if path == file.path or path in found:
            why = "it is outside /models" if path == file.path else "two layers have it"
            raise Refused(f"The layer {layer.digest} holds {file.path}", why=why, next_step=_RESTORE)
        found[path] = file
    return found, absent


def manifest_of(files: dict[str, LayerFile]) -> Manifest:
    """The files as a manifest; Refused for paths that no manifest can have."""
    try:
        return Manifest({path: file.entry for path, file in files.items()})
    except ValueError as problem:
        raise Refused("The image holds files no model has", why=str(problem)) from problem


def read_layer(layout: OciLayout, layer: Descriptor, heard: Heard) -> LayerFile:
    """The file in a layer, all its bytes hashed; Refused when a digest or the size does not hold."""
    with _opened(layout, layer.digest) as stream:
        reader = _HashingReader(stream, heard)
        try:
            file = _only_file(layer, reader)
            reader.drain()
        except (tarfile.TarError, UnicodeError, ValueError) as problem:
            raise _changed(layout, layer, f"it is no tar archive ({problem})") from problem
        except OSError as problem:
            why = problem.strerror or str(problem)
            raise InfrastructureError(f"The layer {layer.digest} cannot be read", why=why) from problem
    if reader.digest != layer.digest:
        raise _changed(layout, layer, f"its content has the digest {reader.digest}")
    if reader.count != layer.size:
        raise _changed(layout, layer, f"it has {reader.count} bytes instead of {layer.size}")
    return file


def _only_file(layer: Descriptor, reader: _HashingReader) -> LayerFile:
    file: LayerFile | None = None
    with tarfile.open(fileobj=reader, mode="r|", bufsize=_READ_SIZE) as archive:
        for member in archive:
            if member.isdir():
                continue
            content = archive.extractfile(member) if member.isreg() else None
            if content is None or file is not None:
                message = f"{member.name!r} is not the one plain file it should hold"
                raise ValueError(message)
            hasher = hashlib.sha256()
            while chunk := content.read(_READ_SIZE):
                hasher.update(chunk)
            entry = ManifestEntry(Digest(hasher.hexdigest()), member.size)
            file = LayerFile(layer, member.name, entry, member.offset_data)
    if file is None:
        raise ValueError("there is no file in it")
    return file


class _HashingReader(io.RawIOBase):
    """A stream that keeps the digest and the number of all bytes that were read from it."""

    def __init__(self, stream: BinaryIO, heard: Heard) -> None:
        super().__init__()
        self._stream, self._heard = stream, heard
        self._hasher = hashlib.sha256()
        self.count = 0

    def read(self, size: int = _READ_SIZE, /) -> bytes:
        data = self._stream.read(size)
        self._hasher.update(data)
        self.count += len(data)
        self._heard(len(data))
        return data

    def drain(self) -> None:
        while self.read():
            pass

    @property
    def digest(self) -> Digest:
        return Digest(self._hasher.hexdigest())


def _opened(layout: OciLayout, digest: Digest) -> BinaryIO:
    # Layouts are local: what cannot be opened is missing or was changed, it is not a network that failed.
    try:
        return layout.open_blob(digest)
    except InfrastructureError as problem:
        kind = NotHere if _absent(layout, digest) else Refused
        raise kind(problem.what, why=problem.why, next_step=_RESTORE) from problem


def _changed(layout: OciLayout, layer: Descriptor, why: str) -> Refused:
    next_step = put_anew(layout.file_of(layer.digest))
    return Refused(f"The layer {layer.digest} has been changed", why=why, next_step=next_step)


def _labels(version: ModelVersion) -> dict[str, str]:
    # As images.packer writes them.
    return {
        "org.opencontainers.image.source": version.source_uri,
        "org.opencontainers.image.revision": version.source_commit,
        "headgate.weights-set": str(version.weights_set),
        "headgate.serve-config": str(version.serve.digest),
        "headgate.runtime": str(version.runtime),
    }


def _absent(layout: OciLayout, digest: Digest) -> bool:
    """Whether nothing of it is here; a layer's record that cannot be read is damage."""
    if layout.has(digest):
        return False
    return not layout.claimed(digest) or layout.streamed_from(digest) is not None
