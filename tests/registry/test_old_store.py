"""A store as Headgate 0.1 (commit 58617e4) wrote it: every record is read, and nothing is published twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fleet.status import Phase, RolloutStatus
from registry.alias import Aliases
from registry.alias_log import get_aliases
from registry.digest import Digest
from registry.dir_store import DirStore
from registry.evidence import UNSIGNED, list_evidence
from registry.manifests import load_manifest
from registry.publish import get_version, list_versions, publish
from registry.trust import Trust
from tests.simulators.records import digest, draft

_OLD = Path(__file__).parents[1] / "fixtures" / "store-1"


@pytest.fixture
def store(tmp_path: Path) -> DirStore:
    """A copy that may be written to."""
    return DirStore(shutil.copytree(_OLD, tmp_path / "store"))


def test_its_versions_keep_their_bytes_and_digests(store: DirStore) -> None:
    """Whatever will be signed about them is about the records as they lie there."""
    versions = list_versions(store)
    assert [v.reference for v in versions] == ["tiny/1", "tiny/2"]
    assert [v.source_set for v in versions] == [None, None]
    records = [store.get(f"versions/tiny/00000{number}.json") or b"" for number in (1, 2)]
    assert [v.record_digest for v in versions] == [Digest.of_bytes(record) for record in records]


def test_its_manifests_aliases_and_rollouts_are_read(store: DirStore) -> None:
    """What a rollback needs is all there."""
    version = get_version(store, "tiny/2")
    assert load_manifest(store, version.weights_manifest).set_digest == version.weights_set
    assert get_aliases(store, Trust(()), "tiny", "cpu") == Aliases(candidate=2, production=2, previous=1)
    status = RolloutStatus.from_json(json.loads(store.get("rollouts/tiny.json") or b""))
    assert status.phase is Phase.SUCCEEDED


def test_its_evidence_is_read_with_doubt(store: DirStore) -> None:
    """Nobody signed it then, so a policy that asks for signatures does not count it."""
    found = list_evidence(store, get_version(store, "tiny/1").release_digest, Trust(()))
    assert [evidence.kind for evidence in found] == ["quality", "rollout", "scan"]
    assert {(evidence.signer, evidence.doubt) for evidence in found} == {(None, UNSIGNED)}


@pytest.mark.parametrize("index_is_lost", [False, True])
def test_what_it_holds_is_not_published_again(store: DirStore, index_is_lost: bool) -> None:
    """The same release made by this Headgate is the version it was, with or without its index."""
    old = get_version(store, "tiny/1")
    again = draft(weights_manifest=old.weights_manifest, weights_set=old.weights_set)
    if index_is_lost:
        for key in store.list("versions-by-content/"):
            store.delete(key)
    assert publish(store, again) == old
    assert publish(store, draft(image=digest("third"))).reference == "tiny/3"
    assert publish(store, again) == old
    assert [v.reference for v in list_versions(store)] == ["tiny/1", "tiny/2", "tiny/3"]
