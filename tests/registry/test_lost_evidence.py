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
from tests.simulators.released import WHEN, TinyHome, passed, release


@pytest.fixture
def version(here: TinyHome) -> ModelVersion:
    return release(here)


def someone(here: TinyHome, root: Path) -> RememberedStore:
    """The registry as a person sees it who has neither images nor weights."""
    return open_registry({"HEADGATE_STORE": str(here.home.store)}, Home(root))


def rejected(version: ModelVersion) -> Evidence:
    return approval(version, at=WHEN, by="ann", why="it swears", reject=True)


def missed(here: TinyHome, store: RememberedStore, version: ModelVersion) -> str:
    """Why a home without images says that evidence was removed, or nothing."""
    kept = {e.digest for e in evidence_about(store, version, here.trust)}
    nowhere = OciLayout(here.home.root / "no images", here.blobs)
    try:
        check_kept(store, nowhere, version, kept, here.trust)
    except Refused as problem:
        return problem.why
    return ""


def test_who_rejected_a_version_misses_the_rejection(
    here: TinyHome, version: ModelVersion, tmp_path: Path
) -> None:
    """The home that signed it has no image, so that nothing else remembers."""
    ann = someone(here, tmp_path / "ann")
    digest = record(ann, here.signer, rejected(version))
    assert missed(here, ann, version) == ""
    ann.delete(record_key(version.release_digest, digest))
    assert missed(here, ann, version) == f"this home has seen a rejection by builder ({digest})"


def test_who_read_a_rejection_misses_it(here: TinyHome, version: ModelVersion, tmp_path: Path) -> None:
    """One look at the version is enough; a home that never looked cannot know."""
    digest = record(here.store, here.signer, rejected(version))
    reader, other = someone(here, tmp_path / "reader"), someone(here, tmp_path / "other")
    evidence_about(reader, version, here.trust)
    here.store.delete(record_key(version.release_digest, digest))
    assert str(digest) in missed(here, reader, version)
    assert missed(here, other, version) == ""


def test_what_a_home_remembers_is_put_back(here: TinyHome, version: ModelVersion, tmp_path: Path) -> None:
    """Byte for byte, by the home that has it, for everybody."""
    ann = someone(here, tmp_path / "ann")
    key = record_key(version.release_digest, record(ann, here.signer, rejected(version)))
    before = ann.get(key)
    ann.delete(key)
    layout = OciLayout(tmp_path / "no images", here.blobs)
    reconciler = AttachedReconciler(ann, here.trust, layout, "ann", pytest.fail)
    (problem,) = reconciler.problems([version])
    assert "seen by this home before" in problem.what
    assert problem.mend
    assert problem.mend()
    assert here.store.get(key) == before
    assert list(reconciler.problems([version])) == []


@pytest.mark.parametrize("whose", ["a stranger's objection", "a pass"])
def test_only_objections_that_count_are_remembered(
    here: TinyHome, version: ModelVersion, tmp_path: Path, whose: str
) -> None:
    """Nobody can fill a home by writing to the store; removed support is what the policy misses."""
    if whose == "a pass":
        said = Evidence(kind=SCAN, subject=version.release_digest, verdict=passed(SCAN), facts={})
        record(here.store, here.signer, said)
    else:
        record(here.store, KeySigner.generate(), rejected(version))
    reader = someone(here, tmp_path / "reader")
    evidence_about(reader, version, here.trust)
    assert list(reader.objections.list("")) == []


def test_a_key_that_is_trusted_no_longer_objects_no_longer(
    here: TinyHome, version: ModelVersion, tmp_path: Path
) -> None:
    """What was remembered counts by the keys of today."""
    ann = someone(here, tmp_path / "ann")
    stranger = KeySigner.generate()
    ann.delete(record_key(version.release_digest, record(ann, stranger, rejected(version))))
    assert missed(here, ann, version) == ""
    here.trusts("stranger", stranger)
    assert "a rejection by stranger" in missed(here, ann, version)


def test_each_registry_is_remembered_for_itself(
    here: TinyHome, version: ModelVersion, tmp_path: Path
) -> None:
    """A store at a new address is believed as it is when it is seen first."""
    ann = someone(here, tmp_path / "ann")
    ann.delete(record_key(version.release_digest, record(ann, here.signer, rejected(version))))
    shutil.copytree(here.home.store, tmp_path / "elsewhere")
    moved = open_registry({"HEADGATE_STORE": str(tmp_path / "elsewhere")}, Home(tmp_path / "ann"))
    assert missed(here, moved, version) == ""


def test_reconciling_reads_too(here: TinyHome, version: ModelVersion, tmp_path: Path) -> None:
    """A dry run is a look at every version."""
    digest = record(here.store, here.signer, rejected(version))
    reader = someone(here, tmp_path / "reader")
    nowhere = OciLayout(tmp_path / "no images", here.blobs)
    list(AttachedReconciler(reader, here.trust, nowhere, "ann", pytest.fail).problems([version]))
    here.store.delete(record_key(version.release_digest, digest))
    assert str(digest) in missed(here, reader, version)
