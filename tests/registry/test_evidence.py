"""Evidence: append-only, about a digest, and read back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.dir_store import DirStore
from registry.errors import InfrastructureError
from registry.evidence import Evidence, list_evidence, record
from tests.simulators.records import digest

_ERROR = Finding(name="scan", outcome=Outcome.ERROR, message="no database", failure_class=FailureClass.INFRA)
_SCAN = Evidence(
    kind="scan", subject=digest("release"), verdict=Verdict.of([_ERROR]), facts={"packages": 3, "note": "é"}
)
_RUN = Evidence(kind="canary", subject=digest("release"))


def test_evidence_reads_back_with_its_verdict(tmp_path: Path) -> None:
    """An error stays an error in the record."""
    store = DirStore(tmp_path)
    for evidence in (_SCAN, _RUN):
        record(store, evidence)
    assert list_evidence(store, digest("release")) == [_RUN, _SCAN]
    assert list_evidence(store, digest("another release")) == []


def test_recording_twice_adds_once(tmp_path: Path) -> None:
    """A step that runs again after a crash leaves one record."""
    store = DirStore(tmp_path)
    assert record(store, _SCAN) == record(store, _SCAN) == _SCAN.digest
    assert len(list(store.list("evidence/"))) == 1


@pytest.mark.parametrize(("old", "new"), [(b'"error"', b'"pass"'), (b"{", b"")])
def test_changed_evidence_is_not_believed(tmp_path: Path, old: bytes, new: bytes) -> None:
    """A verdict edited by hand no longer has the digest it is filed under."""
    store = DirStore(tmp_path)
    record(store, _SCAN)
    key = next(store.list("evidence/"))
    data = store.get(key)
    assert data
    store.compare_and_swap(key, data, data.replace(old, new))
    with pytest.raises(InfrastructureError, match="damaged"):
        list_evidence(store, digest("release"))
