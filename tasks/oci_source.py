"""Models from an image registry, pinned to one manifest: a layer, or a blob, for each file.

Understood are weights images such as Headgate's own (an uncompressed tar with one file, under ``/models``)
and artifacts of plain files: ORAS's, and ModelPack's. Of a tar only the file inside is taken, and what is
compared is the layer's digest, which the manifest gives: over the file and what is around it.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping

from registry.data_errors import worded
from registry.descriptor import INDEX_MEDIA_TYPE, Descriptor
from registry.digest import Digest
from registry.errors import UsageError
from registry.oci_auth import docker_credentials
from registry.oci_client import OciClient, Repository
from registry.plain_text import counted
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Checksum
from tasks.progress import StageProgress
from tasks.source import Listing, SourceFile, check_revision
from tasks.source_address import not_an_address

_URI = re.compile(r"oci://([^\s@]+?)(?::([A-Za-z0-9_][\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?")
_TITLE, _UNPACK = "org.opencontainers.image.title", "io.deis.oras.content.unpack"  # ORAS
_FILEPATH = "org.cncf.model.filepath"  # ModelPack
_HEAD = 16 << 10  # bytes of a layer in which its one file has to begin
_TAIL = 12 << 10  # bytes of zeros that may end a tar
_LISTS = {INDEX_MEDIA_TYPE, "application/vnd.docker.distribution.manifest.list.v2+json"}
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


class OciSource:
    """``oci://REGISTRY/NAME:TAG`` or ``@sha256:...``, with what ``docker login`` keeps for the registry.

    Raises UsageError for a malformed address. Its methods raise UsageError (nothing there, not allowed, no
    model in it) or InfrastructureError.
    """

    def __init__(self, uri: str, env: Mapping[str, str]) -> None:
        match = _URI.fullmatch(uri)
        if not match or not (match[2] or match[3]) or "/" not in match[1]:
            raise not_an_address(uri)
        self._uri, self._repository = uri, Repository.parse(match[1])
        self._reference: Digest | str = Digest.parse(match[3]) if match[3] else match[2]
        self._env = env

    def resolve(self, revision: str, progress: StageProgress) -> Listing:
        """The manifest that the tag points at now, and the files of its layers."""
        with self._client() as client:
            manifest, data = self._manifest(client)
            where = f"{self._repository}@{manifest.digest.short}"
            check_revision(revision, str(manifest.digest), str(self._repository))
            layers = _layers(data, where)
            progress(f"{where}: {counted(len(layers), 'layer')}", None)
            files = tuple(_file(client, layer, where) for layer in layers)
        return Listing(self._uri, revision, str(manifest.digest), files, where)

    def pull(self, listing: Listing, file: SourceFile, out: ArrivingFile) -> None:
        """The rest of the file, out of its layer."""
        del listing
        if file.checksum is None:
            raise ValueError(f"{file.path} is not of this source: its files have the digests of their blobs")
        inside = len(file.checksum.before)
        blob = Digest(file.checksum.value)
        with self._client() as client:
            client.read_blob(blob, inside + out.tell(), inside + file.size, out.write)

    def _client(self) -> OciClient:
        return OciClient(self._repository, docker_credentials(self._repository.host, self._env))

    def _manifest(self, client: OciClient) -> tuple[Descriptor, bytes]:
        """The image's manifest; that of an index's only image."""
        found = client.get_manifest(self._reference)
        if found and found[0].media_type in _LISTS:
            listed = _listed(found[1], self._uri)
            if len(listed) > 1:
                raise UsageError(
                    f"{self._uri} is a list of {len(listed)} images",
                    why="which of them is the model, it does not say",
                    next_step="name one by its digest: oci://REGISTRY/NAME@sha256:...",
                )
            found = client.get_manifest(listed[0]) if listed else None
        if found is None:
            raise UsageError(
                f"There is no image at {self._uri}",
                why=f"{self._repository.host} knows no such tag or digest",
                next_step="correct model.uri: oci://REGISTRY/NAME:TAG, or @sha256:...",
            )
        return found


def _listed(index: bytes, uri: str) -> list[Digest]:
    try:
        entries = json.loads(index)["manifests"]
        plain = [e for e in entries if (e.get("platform") or {}).get("os") != "unknown"]  # else: attestations
        return [Descriptor.from_json(entry).digest for entry in plain]
    except _MALFORMED as problem:
        raise _no_model(uri, f"its index cannot be read ({worded(problem)})") from problem


def _layers(manifest: bytes, where: str) -> list[Descriptor]:
    try:
        return [Descriptor.from_json(layer) for layer in json.loads(manifest)["layers"]]
    except _MALFORMED as problem:
        raise _no_model(where, f"its manifest has no layers ({worded(problem)})") from problem


def _file(client: OciClient, layer: Descriptor, where: str) -> SourceFile:
    name = layer.annotations.get(_TITLE) or layer.annotations.get(_FILEPATH)
    if layer.annotations.get(_UNPACK) == "true":
        raise _no_model(where, f"{name} in it is a packed folder")
    is_tar = (
        layer.media_type.endswith(".tar") and _TITLE not in layer.annotations
    )  # ORAS calls any file a tar
    if is_tar:
        return _file_in_tar(client, layer, where)
    if not name or re.search(r"\.tar\b", layer.media_type.removesuffix(".tar")):
        raise _no_model(where, f"its layer {layer.digest.short} is a {layer.media_type}")
    return SourceFile(name, layer.size, Checksum("sha256", layer.digest.hex))


def _file_in_tar(client: OciClient, layer: Descriptor, where: str) -> SourceFile:
    head = bytearray()
    client.read_blob(layer.digest, 0, min(layer.size, _HEAD), head.extend)
    found = _only_file(bytes(head))
    if found is None or not 0 <= layer.size - found.offset_data - found.size <= _TAIL:
        raise _no_model(where, f"its layer {layer.digest.short} does not hold one file alone")
    end = bytes(layer.size - found.offset_data - found.size)
    checksum = Checksum("sha256", layer.digest.hex, bytes(head[: found.offset_data]), end)
    return SourceFile(found.name.removeprefix("./").removeprefix("models/"), found.size, checksum)


def _only_file(head: bytes) -> tarfile.TarInfo | None:
    """The first file in a tar, after folders only; None where it begins otherwise."""
    try:
        with tarfile.open(fileobj=io.BytesIO(head), mode="r:", errorlevel=0) as tar:
            while (member := tar.next()) and member.isdir():
                pass
    except tarfile.TarError:
        return None
    return member if member and member.isreg() and member.offset_data <= len(head) else None


def _no_model(where: str, why: str) -> UsageError:
    return UsageError(
        f"{where} holds no model that can be taken",
        why=why,
        next_step="name a weights image that Headgate built, or an artifact of plain files (ORAS, ModelPack)",
    )
