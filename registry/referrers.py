"""Signed statements as OCI referrers: the manifests cosign v3 writes and reads, and the index of them. Pure.

Sources: cosign 3.1.3 ``specs/BUNDLE_SPEC.md`` and ``pkg/oci/remote/write.go``; the distribution specification
v1.1 for the fallback tag, the index a client keeps where a registry does not list referrers itself.
Nothing of a clock enters: the same bundle on the same image is the same manifest, so again is nothing new.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from registry.bundle import BUNDLE_MEDIA_TYPE, unseal
from registry.data_errors import worded
from registry.descriptor import EMPTY_MEDIA_TYPE, INDEX_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest, canonical_json
from registry.predicates import ALIAS_MOVE, from_predicate, predicate_type
from registry.statement import Statement
from registry.trust import Trust

EMPTY_BLOB = b"{}"
"""The config of an artifact that needs none."""
_BUNDLES = "application/vnd.dev.sigstore.bundle"  # any version: those of other tools are read as well
_MOVE = predicate_type(ALIAS_MOVE)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RecursionError)


def fallback_tag(subject: Digest) -> str:
    """The tag whose index lists what refers to ``subject``."""
    return f"sha256-{subject.hex}"


def attachable(records: Iterable[bytes]) -> list[bytes]:
    """The records that lie beside an image: signed statements, but no moves of aliases."""
    statements = {data: statement(data) for data in records}
    return [data for data, said in statements.items() if said and said.predicate_type != _MOVE]


def statement(record: bytes) -> Statement | None:
    """The statement in a record; None for an older one, which is not signed and cannot travel."""
    try:
        return unseal(record, Trust()).statement
    except ValueError:
        return None


def bundle_manifest(subject: Descriptor, bundle: bytes) -> bytes:
    """The manifest that says "this bundle is about that image"; ValueError when it is no signed statement."""
    statement = unseal(bundle, Trust()).statement
    annotations = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": statement.predicate_type,
    }
    at = _said_at(statement)
    layer = Descriptor(BUNDLE_MEDIA_TYPE, Digest.of_bytes(bundle), len(bundle))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_MEDIA_TYPE,
        "artifactType": BUNDLE_MEDIA_TYPE,
        "config": Descriptor(EMPTY_MEDIA_TYPE, Digest.of_bytes(EMPTY_BLOB), len(EMPTY_BLOB)).to_json(),
        "layers": [layer.to_json()],
        "subject": Descriptor(subject.media_type, subject.digest, subject.size).to_json(),
        "annotations": annotations | ({"org.opencontainers.image.created": at} if at else {}),
    }
    return canonical_json(manifest)


def media_type_of(manifest: bytes) -> str:
    """The media type a manifest or an index gives itself; ValueError when it is neither."""
    try:
        value = json.loads(manifest)
        return str(
            value.get("mediaType") or (INDEX_MEDIA_TYPE if "manifests" in value else MANIFEST_MEDIA_TYPE)
        )
    except _MALFORMED as problem:
        raise ValueError(f"not a manifest ({worded(problem)})") from problem


def referrer_of(manifest: bytes) -> Descriptor:
    """How an index lists this manifest: with its annotations, and what it holds. Raises ValueError."""
    try:
        value = json.loads(manifest)
        kind = str(value.get("artifactType") or value["config"]["mediaType"])
        annotations = dict(value.get("annotations") or {})
        return Descriptor(
            value["mediaType"], Digest.of_bytes(manifest), len(manifest), annotations, artifact_type=kind
        )
    except _MALFORMED as problem:
        raise ValueError(f"not an artifact manifest ({worded(problem)})") from problem


def bundle_in(manifest: bytes, subject: Digest) -> Descriptor | None:
    """The bundle that a referrer of ``subject`` holds, or None: another tool's, or about another image."""
    try:
        value = json.loads(manifest)
        (layer,) = (Descriptor.from_json(layer) for layer in value["layers"])
        about = Digest.parse(value["subject"]["digest"])
    except _MALFORMED:
        return None
    return layer if about == subject and layer.media_type.startswith(_BUNDLES) else None


def read_index(data: bytes) -> list[Descriptor]:
    """What an index lists; ValueError when it is none."""
    try:
        value = json.loads(data)
        if value.get("mediaType", INDEX_MEDIA_TYPE) != INDEX_MEDIA_TYPE:
            raise ValueError(f"its media type is {value['mediaType']!r}")
        return [Descriptor.from_json(entry) for entry in value["manifests"]]
    except _MALFORMED as problem:
        raise ValueError(f"not an OCI image index ({worded(problem)})") from problem


def merged_index(index: bytes | None, referrers: Iterable[Descriptor]) -> bytes:
    """The index with these referrers in it, by digest; the same bytes when they are all there already.

    What other tools wrote is kept, field for field. Raises ValueError when ``index`` is none.
    """
    listed = read_index(index) if index else []
    known = {entry.digest for entry in listed}
    added = {entry.digest: entry for entry in referrers if entry.digest not in known}
    if index and not added:
        return index
    value: dict[str, Any] = json.loads(index) if index else {"schemaVersion": 2}
    entries: list[Mapping[str, Any]] = [*value.get("manifests", []), *(e.to_json() for e in added.values())]
    entries.sort(key=lambda entry: str(entry["digest"]))
    return canonical_json({**value, "mediaType": INDEX_MEDIA_TYPE, "manifests": entries})


def _said_at(statement: Statement) -> str:
    try:
        at = str(from_predicate(statement.predicate_type, statement.predicate)[2].get("at", ""))
    except _MALFORMED:
        return ""
    return at if _TIME.fullmatch(at) else ""
