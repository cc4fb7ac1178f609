"""The bytes of referrers: what cosign writes, the same every time, and indexes that lose nothing."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.bundle import BUNDLE_MEDIA_TYPE, seal
from registry.descriptor import EMPTY_MEDIA_TYPE, INDEX_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest
from registry.evidence import Evidence
from registry.referrers import (
    attachable,
    bundle_in,
    bundle_manifest,
    fallback_tag,
    media_type_of,
    merged_index,
    read_index,
    referrer_of,
)
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import digest

_SUBJECT = Descriptor(MANIFEST_MEDIA_TYPE, digest("image"), 700)
_AT = "2026-11-21T10:20:30.123456+00:00"
_DESCRIPTORS = st.builds(
    Descriptor,
    st.sampled_from([MANIFEST_MEDIA_TYPE, INDEX_MEDIA_TYPE]),
    st.integers(0, 9).map(lambda n: digest(str(n))),
    st.integers(0, 1 << 40),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.sampled_from(["", BUNDLE_MEDIA_TYPE]),
)


def _bundle(**facts: Any) -> bytes:
    evidence = Evidence(
        kind="rollout", subject=digest("release"), facts=facts, also={"image": digest("image")}
    )
    return seal(evidence.statement, signer_and_trust()[0])


def test_a_manifest_is_what_cosign_writes() -> None:
    """Field for field as its BUNDLE_SPEC.md says, under cosign's annotations."""
    bundle = _bundle(at=_AT)
    assert json.loads(bundle_manifest(_SUBJECT, bundle)) == {
        "schemaVersion": 2,
        "mediaType": MANIFEST_MEDIA_TYPE,
        "artifactType": BUNDLE_MEDIA_TYPE,
        "config": {"mediaType": EMPTY_MEDIA_TYPE, "digest": str(Digest.of_bytes(b"{}")), "size": 2},
        "layers": [
            {"mediaType": BUNDLE_MEDIA_TYPE, "digest": str(Digest.of_bytes(bundle)), "size": len(bundle)}
        ],
        "subject": _SUBJECT.to_json(),
        "annotations": {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": "urn:headgate:predicate:rollout:v1",
            "org.opencontainers.image.created": _AT,
        },
    }


def test_a_manifest_is_the_same_every_time() -> None:
    """So that attaching again is seen to be nothing new; annotations of the subject do not enter."""
    bundle = _bundle(at=_AT)
    tagged = Descriptor(MANIFEST_MEDIA_TYPE, _SUBJECT.digest, 700, {"org.opencontainers.image.ref.name": "x"})
    assert bundle_manifest(_SUBJECT, bundle) == bundle_manifest(tagged, bundle)


@pytest.mark.parametrize("facts", [{}, {"at": "yesterday"}, {"at": None}, {"at": _AT + "\n"}])
def test_without_a_time_in_the_evidence_no_time_is_claimed(facts: dict[str, Any]) -> None:
    """The annotation must be a time, and never the clock of whoever attaches."""
    annotations = json.loads(bundle_manifest(_SUBJECT, _bundle(**facts)))["annotations"]
    assert "org.opencontainers.image.created" not in annotations


def test_only_signed_statements_travel() -> None:
    """A record of before there were signatures is left out, and cannot be forced in."""
    old = b'{"facts":{},"kind":"quality","subject":"sha256:00","verdict":null}'
    bundle = _bundle()
    assert attachable([old, bundle, b"", b"\xff"]) == [bundle]
    with pytest.raises(ValueError, match="not a signed statement"):
        bundle_manifest(_SUBJECT, old)


def test_a_bundle_is_found_in_its_manifest() -> None:
    """And not in one about another image, or of another kind."""
    bundle = _bundle()
    manifest = bundle_manifest(_SUBJECT, bundle)
    found = bundle_in(manifest, _SUBJECT.digest)
    assert found
    assert found.digest == Digest.of_bytes(bundle)
    assert bundle_in(manifest, digest("another image")) is None
    assert bundle_in(manifest.replace(b"dev.sigstore.bundle.v0.3", b"cyclonedx"), _SUBJECT.digest) is None


def test_an_older_bundle_of_another_tool_is_found() -> None:
    """Any version of the format."""
    manifest = bundle_manifest(_SUBJECT, _bundle()).replace(b"bundle.v0.3+json", b"bundle+json;version=0.4")
    assert bundle_in(manifest, _SUBJECT.digest)


@given(st.binary() | st.sampled_from([b"[]", b"{}", b'{"layers":[1]}', b'{"layers":[{}],"subject":{}}']))
def test_anything_else_holds_no_bundle(data: bytes) -> None:
    """Registries hold what anybody pushed there."""
    assert bundle_in(data, _SUBJECT.digest) is None
    for read in (referrer_of, media_type_of, read_index):
        with contextlib.suppress(ValueError):
            read(data)


def test_an_index_lists_what_the_artifact_is() -> None:
    """With the annotations of its manifest, as a registry with the API would."""
    manifest = bundle_manifest(_SUBJECT, _bundle(at=_AT))
    (entry,) = json.loads(merged_index(None, [referrer_of(manifest)]))["manifests"]
    assert entry == {
        "mediaType": MANIFEST_MEDIA_TYPE,
        "digest": str(Digest.of_bytes(manifest)),
        "size": len(manifest),
        "artifactType": BUNDLE_MEDIA_TYPE,
        "annotations": json.loads(manifest)["annotations"],
    }


@given(st.lists(_DESCRIPTORS, max_size=6), st.lists(_DESCRIPTORS, max_size=6))
def test_merging_loses_nothing_and_again_changes_nothing(
    first: list[Descriptor], second: list[Descriptor]
) -> None:
    """Sorted by digest, one entry each, whichever update came first."""
    index = merged_index(merged_index(None, first), second)
    listed = read_index(index)
    assert [d.digest for d in listed] == sorted({d.digest for d in (*first, *second)})
    assert merged_index(index, [*second, *first]) == index
    digests = [d.digest for d in read_index(merged_index(merged_index(None, second), first))]
    assert digests == [d.digest for d in listed]


def test_what_other_tools_wrote_into_an_index_stays() -> None:
    """Fields that we do not know included."""
    foreign = {**_SUBJECT.to_json(), "platform": {"os": "linux"}, "x": [1]}
    index = json.dumps({"schemaVersion": 2, "manifests": [foreign], "annotations": {"a": "b"}}).encode()
    merged = json.loads(merged_index(index, [Descriptor(MANIFEST_MEDIA_TYPE, digest("new"), 5)]))
    assert foreign in merged["manifests"]
    assert merged["annotations"] == {"a": "b"}
    assert merged["mediaType"] == INDEX_MEDIA_TYPE
    assert len(merged["manifests"]) == 2


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"manifests":1}', b'{"manifests":[{}]}', b'{"mediaType":"x","manifests":[]}']
)
def test_what_is_no_index_is_not_written_over(data: bytes) -> None:
    """It is said instead: somebody else's tag may be meant."""
    with pytest.raises(ValueError, match="not an OCI image index"):
        read_index(data)
    if data:
        with pytest.raises(ValueError, match="not an OCI image index"):
            merged_index(data, [_SUBJECT])


def test_the_fallback_tag_is_the_specifications() -> None:
    """``sha256-`` and the digest: 71 of the 128 characters a tag may have."""
    assert fallback_tag(Digest("a" * 64)) == "sha256-" + "a" * 64
