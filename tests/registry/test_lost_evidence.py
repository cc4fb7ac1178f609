"""A rejection removed from the store is missed by every home that made or read it, image or no image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from registry.approval import approval
from registry.errors import Refused
from registry.evidence import Evidence, evidence_about, record, record_key
from registry.home import Home
from registry.lost_evidence import check_kept
from registry.oci_layout import OciLayout
from registry.open_store import open_registry
from registry.predicates import SCAN
from registry.reconcile_attached import AttachedReconciler
from registry.remembered_store import RememberedStore
from registry.signing import KeySigner
from registry.version import ModelVersion
from tests.simulators.released import WHEN, TinyHome, passed, release, tiny_home


@pytest.fixture
def house(tmp_path: Path) -> TinyHome:
    """Where versions are released; its store is everybody's."""
    made = tiny_home(tmp_path / "house")
    release(made)
    return made


@pytest.fixture
def version(house: TinyHome) -> ModelVersion:
    return release(house)


def someone(house: TinyHome, root: Path) -> RememberedStore:
    """The registry as a person sees it who has neither images nor weights."""
    return open_registry({"HEADGATE_STORE": str(house.home.store)}, Home(root))


def rejected(version: ModelVersion) -> Evidence:
    return approval(version, at=WHEN, by="ann", why="it swears", reject=True)


def missed(house: TinyHome, store: RememberedStore, version: ModelVersion) -> str:
    """Why a home without images says that evidence was removed, or nothing."""
    kept = {e.digest for e in evidence_about(store, version, house.trust)}
    nowhere = OciLayout(house.home.root / "no images", house.blobs)
    try:
        check_kept(store, nowhere, version, kept, house.trust)
    except Refused as problem:
        return problem.why
    return ""


def test_who_rejected_a_version_misses_the_rejection(
    house: TinyHome, version: ModelVersion, tmp_path: Path
) -> None:
    """The home that signed it has no image, so that nothing else remembers."""
    ann = someone(house, tmp_path / "ann")
    digest = record(ann, house.signer, rejected(version))
    assert missed(house, ann, version) == ""
    ann.delete(record_key(version.release_digest, digest))
    assert missed(house, ann, version) == f"this home has seen a rejection by builder ({digest})"


def test_who_read_a_rejection_misses_it(house: TinyHome, version: ModelVersion, tmp_path: Path) -> None:
    """One look at the version is enough; a home that never looked cannot know."""
    digest = record(house.store, house.signer, rejected(version))
    reader, other = someone(house, tmp_path / "reader"), someone(house, tmp_path / "other")
    evidence_about(reader, version, house.trust)
    house.store.delete(record_key(version.release_digest, digest))
    assert str(digest) in missed(house, reader, version)
    assert missed(house, other, version) == ""


def test_what_a_home_remembers_is_put_back(house: TinyHome, version: ModelVersion, tmp_path: Path) -> None:
    """Byte for byte, by the home that has it, for everybody."""
    ann = someone(house, tmp_path / "ann")
    key = record_key(version.release_digest, record(ann, house.signer, rejected(version)))
    before = ann.get(key)
    ann.delete(key)
    layout = OciLayout(tmp_path / "no images", house.blobs)
    reconciler = AttachedReconciler(ann, house.trust, layout, "ann", pytest.fail)
    (problem,) = reconciler.problems([version])
    assert "seen by this home before" in problem.what
    assert problem.mend
    assert problem.mend()
    assert house.store.get(key) == before
    assert list(reconciler.problems([version])) == []


@pytest.mark.parametrize("whose", ["a stranger's objection", "a pass"])
def test_only_objections_that_count_are_remembered(
    house: TinyHome, version: ModelVersion, tmp_path: Path, whose: str
) -> None:
    """Nobody can fill a home by writing to the store; removed support is what the policy misses."""
    if whose == "a pass":
        said = Evidence(kind=SCAN, subject=version.release_digest, verdict=passed(SCAN), facts={})
        record(house.store, house.signer, said)
    else:
        record(house.store, KeySigner.generate(), rejected(version))
    reader = someone(house, tmp_path / "reader")
    evidence_about(reader, version, house.trust)
    assert list(reader.objections.list("")) == []


def test_a_key_that_is_trusted_no_longer_objects_no_longer(
    house: TinyHome, version: ModelVersion, tmp_path: Path
) -> None:
    """What was remembered counts by the keys of today."""
    ann = someone(house, tmp_path / "ann")
    stranger = KeySigner.generate()
    ann.delete(record_key(version.release_digest, record(ann, stranger, rejected(version))))
    assert missed(house, ann, version) == ""
    house.trusts("stranger", stranger)
    assert "a rejection by stranger" in missed(house, ann, version)


def test_each_registry_is_remembered_for_itself(
    house: TinyHome, version: ModelVersion, tmp_path: Path
) -> None:
    """A store at a new address is believed as it is when it is seen first."""
    ann = someone(house, tmp_path / "ann")
    ann.delete(record_key(version.release_digest, record(ann, house.signer, rejected(version))))
    shutil.copytree(house.home.store, tmp_path / "elsewhere")
    moved = open_registry({"HEADGATE_STORE": str(tmp_path / "elsewhere")}, Home(tmp_path / "ann"))
    assert missed(house, moved, version) == ""


def test_reconciling_reads_too(house: TinyHome, version: ModelVersion, tmp_path: Path) -> None:
    """A dry run is a look at every version."""
    digest = record(house.store, house.signer, rejected(version))
    reader = someone(house, tmp_path / "reader")
    nowhere = OciLayout(tmp_path / "no images", house.blobs)
    list(AttachedReconciler(reader, house.trust, nowhere, "ann", pytest.fail).problems([version]))
    house.store.delete(record_key(version.release_digest, digest))
    assert str(digest) in missed(house, reader, version)
