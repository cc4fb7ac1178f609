"""A small image that was pushed, and evidence about it."""

from __future__ import annotations

from registry.bundle import Signer, seal
from registry.descriptor import MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest, canonical_json
from registry.evidence import Evidence
from registry.oci_client import OciClient
from tests.simulators.records import digest

CONFIG = b'{"architecture":"amd64","config":{},"os":"linux","rootfs":{"diff_ids":[],"type":"layers"}}'
"""The config of every image here."""


def image(name: str = "tiny") -> bytes:
    """The manifest of an image without layers."""
    config = Descriptor(
        "application/vnd.oci.image.config.v1+json", Digest.of_bytes(CONFIG), len(CONFIG)
    ).to_json()
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_MEDIA_TYPE, "config": config, "layers": []}
    return canonical_json({**manifest, "annotations": {"name": name}})


def push_image(client: OciClient, name: str = "tiny") -> Digest:
    """Push that image; returns its digest."""
    client.put_blob(CONFIG)
    client.put_manifest(image(name), name)
    return Digest.of_bytes(image(name))


def bundle(signer: Signer, about: Digest, kind: str = "quality", number: int = 0) -> bytes:
    """Signed evidence about a release that names this image too."""
    facts = {"at": "2026-11-21T10:00:00+00:00", "number": number}
    evidence = Evidence(kind=kind, subject=digest("release"), facts=facts, also={"image": about})
    return seal(evidence.statement, signer)
