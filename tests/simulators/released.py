"""A small version as a release leaves it in a home: files, image, record, evidence, aliases; all real."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from images.layout_builder import build_image
from images.packer import image_labels
from judging.verdict import Finding, Outcome, Verdict
from registry.alias import Alias
from registry.alias_log import move_alias
from registry.blobs import BlobStore
from registry.bundle import Signer
from registry.dir_store import DirStore
from registry.evidence import Evidence, list_bundles, record, subjects_of
from registry.home import Home
from registry.manifest import Manifest
from registry.manifests import save_manifest
from registry.oci_layout import OciLayout
from registry.predicates import (
    FETCH,
    IMAGE_SIGNATURE,
    QUALITY,
    QUANTIZE,
    RELEASE,
    SBOM,
    SCAN,
    WEIGHTS_SIGNATURE,
)
from registry.publish import publish
from registry.signing import KeySigner
from registry.store import Store
from registry.trust import Trust, TrustedKey
from registry.trust_file import read_trust, write_trust
from registry.verify import Holdings
from registry.version import ModelVersion
from registry.weights_signature import weights_predicate
from tests.simulators.records import SERVE, digest, draft

WHEN = datetime(2026, 11, 20, 10, tzinfo=UTC)
AT = WHEN.isoformat(timespec="microseconds")
SOURCE = {"config.json": b'{"model_type": "llama"}', "model.safetensors": b"S" * 700}
WEIGHTS = {"config.json": b'{"quantized": true}', "model.safetensors": b"w" * 1500, "merges.txt": b""}


@dataclass(frozen=True)
class TinyHome:
    """A home, and the key that signs in it."""

    home: Home
    signer: KeySigner = field(default_factory=KeySigner.generate)
    name: str = "builder"

    @cached_property
    def store(self) -> Store:
        return DirStore(self.home.store)

    @property
    def trust(self) -> Trust:
        """As the home's file has it now."""
        return read_trust(self.home.keys / "trusted.yaml")

    @property
    def blobs(self) -> BlobStore:
        return BlobStore(self.home.blobs)

    @property
    def layout(self) -> OciLayout:
        return OciLayout(self.home.oci, self.blobs)

    @property
    def held(self) -> Holdings:
        """What ``verify`` is given."""
        parts = {"layout": self.layout, "blobs": self.blobs, "weights": self.home.weights}
        return Holdings(store=self.store, trust=self.trust, **parts)

    def trusts(self, name: str, signer: KeySigner) -> None:
        """Trust this key too."""
        keys = (*self.trust.keys, TrustedKey(name, signer.public_pem))
        write_trust(self.home.keys / "trusted.yaml", Trust(keys))


def tiny_home(root: Path) -> TinyHome:
    """An empty home with a key of its own, trusted."""
    made = TinyHome(Home(root))
    made.trusts(made.name, made.signer)
    return made


def release(
    at: TinyHome,
    name: str = "tiny",
    weights: Mapping[str, bytes] = WEIGHTS,
    aliases: Iterable[Alias] = (Alias.CANDIDATE, Alias.PRODUCTION),
) -> ModelVersion:
    """Publish a version with these weights, with all its evidence, as candidate and in production."""
    source, made = _files(at, SOURCE), _files(at, weights)
    labels = image_labels(
        source_uri="hf://acme/tiny",
        source_commit="a" * 40,
        weights_set=made.set_digest,
        serve=SERVE.digest,
        runtime=digest("runtime"),
    )
    image = build_image(at.layout, made, labels, name)
    at.blobs.link_tree(made, at.home.weights(made.set_digest))
    version = publish(
        at.store,
        draft(
            name,
            source_manifest=save_manifest(at.store, source),
            source_set=source.set_digest,
            weights_manifest=save_manifest(at.store, made),
            weights_set=made.set_digest,
            image=image.digest,
        ),
    )
    attest(at, version, made)
    for alias in aliases:
        move(at, alias, version)
    return version


def attest(at: TinyHome, version: ModelVersion, weights: Manifest, signer: Signer | None = None) -> None:
    """Say everything about a version that a release says, and attach it to the image."""
    signer = signer or at.signer
    provenance = {"at": AT, "run": "run-1", "parameters": {}, "dependencies": {}, "versions": {}}
    assert version.source_set
    said = [
        Evidence(kind=FETCH, subject=version.source_set, facts={**provenance, "stage": "fetch"}),
        Evidence(kind=QUANTIZE, subject=version.weights_set, facts={**provenance, "stage": "quantize"}),
        Evidence(kind=WEIGHTS_SIGNATURE, subject=version.weights_set, facts=weights_predicate(weights)),
        Evidence(kind=SBOM, subject=version.runtime, facts={"bomFormat": "CycloneDX", "specVersion": "1.6"}),
        Evidence(kind=QUALITY, subject=version.release_digest, verdict=passed(QUALITY), facts={"at": AT}),
        Evidence(kind=SCAN, subject=version.release_digest, verdict=passed(SCAN), facts={"at": AT}),
        Evidence(kind=IMAGE_SIGNATURE, subject=version.image, facts={}),
    ]
    evidence = [str(record(at.store, signer, e)) for e in said]
    record(at.store, signer, release_statement(version, evidence))
    bundles = [b for subject in subjects_of(version) for b in list_bundles(at.store, subject).values()]
    at.layout.put_referrers(version.image, bundles)


def release_statement(version: ModelVersion, evidence: list[str]) -> Evidence:
    """What binds everything."""
    return Evidence(
        kind=RELEASE,
        subject=version.record_digest,
        verdict=passed(RELEASE),
        facts={"at": AT, "version": version.reference, "policy": str(digest("policy")), "evidence": evidence},
        also={"release": version.release_digest, "image": version.image, "weights": version.weights_set},
    )


def move(at: TinyHome, alias: Alias, version: ModelVersion) -> None:
    """Move one alias of the version's model and GPU class to it."""
    move_alias(
        at.store,
        at.signer,
        at.trust,
        name=version.name,
        gpu_class=version.gpu_class,
        alias=alias,
        number=version.number,
        at=WHEN,
        who="ada@workshop",
        why="it passed",
        run="run-1",
    )


def passed(kind: str) -> Verdict:
    """A judge's plain yes."""
    return Verdict.of([Finding(name=kind, outcome=Outcome.PASS, message=f"{kind} passed")])


def _files(at: TinyHome, files: Mapping[str, bytes]) -> Manifest:
    work = at.home.root / f"work-{os.getpid()}"
    for path, content in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(content)
    manifest = at.blobs.add_tree(work, list(files))
    for path in files:
        (work / path).unlink()
    work.rmdir()
    return manifest
