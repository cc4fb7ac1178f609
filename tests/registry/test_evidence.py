"""Evidence: append-only, signed, about a digest, and read back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.bundle import seal
from registry.digest import Digest, canonical_json
from registry.dir_store import DirStore
from registry.errors import InfrastructureError
from registry.evidence import (
    UNSIGNED,
    Evidence,
    keep,
    list_bundles,
    list_evidence,
    read_evidence,
    record,
)
from registry.predicates import predicate_type
from registry.signing import KeySigner
from registry.statement import Statement
from registry.trust import Trust, TrustedKey
from tests.simulators.json_values import mangled
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import digest

_SIGNER, _TRUST = signer_and_trust("builder")
_AT = "2025-11-21T10:00:00.000000+00:00"
_ERROR = Finding(name="scan", outcome=Outcome.ERROR, message="no database", failure_class=FailureClass.INFRA)
_SCAN = Evidence(
    kind="scan",
    subject=digest("release"),
    verdict=Verdict.of([_ERROR]),
    facts={"packages": 3, "note": "é", "at": _AT},
    also={"image": digest("image")},
)
_ROLLOUT = Evidence(kind="rollout", subject=digest("release"), facts={"at": _AT})
_LEGACY = {
    "kind": "scan",
    "subject": str(digest("release")),
    "verdict": Verdict.of([_ERROR]).to_json(),
    "facts": {"packages": 3},
}


def _key(store: DirStore) -> str:
    (key,) = store.list("evidence/")
    return key


def test_evidence_reads_back_with_its_verdict_and_signer(tmp_path: Path) -> None:
    """An error stays an error in the record."""
    store = DirStore(tmp_path)
    for evidence in (_SCAN, _ROLLOUT):
        record(store, _SIGNER, evidence)
    rollout, scan = list_evidence(store, digest("release"), _TRUST)
    assert (rollout.kind, rollout.verdict) == ("rollout", None)
    assert (scan.verdict, scan.facts, scan.also) == (_SCAN.verdict, _SCAN.facts, _SCAN.also)
    assert (scan.signer, scan.key_id, scan.doubt) == ("builder", _SIGNER.key_id, "")
    assert list_evidence(store, digest("another release"), _TRUST) == []


def test_a_key_is_the_signer_of_what_it_is_trusted_for(tmp_path: Path) -> None:
    """So nothing that goes by signers can forget to ask; the record itself is no worse."""
    store, key = DirStore(tmp_path), _TRUST.keys[0]
    for evidence in (_SCAN, _ROLLOUT):
        record(store, _SIGNER, evidence)
    narrow = Trust((TrustedKey(key.name, key.pem, frozenset({"scan"})),))
    rollout, scan = list_evidence(store, digest("release"), narrow)
    assert (scan.signer, scan.doubt) == ("builder", "")
    assert (rollout.signer, rollout.doubt) == (None, "the key builder may not sign rollout evidence")


def test_evidence_of_a_kind_is_in_the_order_of_time(tmp_path: Path) -> None:
    """Whatever order it was recorded in."""
    store = DirStore(tmp_path)
    for hour in (12, 9, 11):
        facts = {"at": f"2025-11-21T{hour:02}:00:00.000000+00:00"}
        record(store, _SIGNER, Evidence(kind="rollout", subject=digest("release"), facts=facts))
    hours = [e.facts["at"][11:13] for e in list_evidence(store, digest("release"), _TRUST)]
    assert hours == ["09", "11", "12"]


def test_a_bundle_is_kept_once(tmp_path: Path) -> None:
    """A bundle that comes again, from an image or an archive, adds nothing."""
    store = DirStore(tmp_path)
    name = record(store, _SIGNER, _SCAN)
    (bundle,) = list_bundles(store, digest("release")).values()
    assert keep(store, digest("release"), bundle) == name == Digest.of_bytes(bundle)
    assert len(list(store.list("evidence/"))) == 1


def test_evidence_of_a_stranger_is_doubted(tmp_path: Path) -> None:
    """It is shown, with the reason why it does not count."""
    store = DirStore(tmp_path)
    record(store, KeySigner.generate(), _SCAN)
    (found,) = list_evidence(store, digest("release"), _TRUST)
    assert found.verdict == _SCAN.verdict
    assert (found.signer, "not trusted" in found.doubt) == (None, True)


def test_distrust_makes_old_evidence_doubtful(tmp_path: Path) -> None:
    """Trust is asked for at every reading, never written down."""
    store = DirStore(tmp_path)
    record(store, _SIGNER, _SCAN)
    (found,) = list_evidence(store, digest("release"), Trust())
    assert found.signer is None
    assert _SIGNER.key_id[:12] in found.doubt


@pytest.mark.parametrize("cut", [0, 1, 200])
def test_a_truncated_record_is_damaged(tmp_path: Path, cut: int) -> None:
    """Power failed before the disk had all of it."""
    store = DirStore(tmp_path)
    record(store, _SIGNER, _SCAN)
    key = _key(store)
    data = store.get(key)
    assert data
    store.compare_and_swap(key, data, data[:cut])
    with pytest.raises(InfrastructureError, match=key):
        list_evidence(store, digest("release"), _TRUST)
    with pytest.raises(InfrastructureError, match=key):
        list_bundles(store, digest("release"))


def test_a_record_under_another_digest_is_damaged(tmp_path: Path) -> None:
    """A scan of one release is not filed under another, nor under a name that is not its digest."""
    store = DirStore(tmp_path)
    record(store, _SIGNER, _SCAN)
    data = store.get(_key(store))
    assert data
    keep(store, digest("other"), data)
    with pytest.raises(InfrastructureError, match="it speaks of"):
        list_evidence(store, digest("other"), _TRUST)
    with pytest.raises(InfrastructureError, match="it speaks of"):
        list_bundles(store, digest("other"))
    store.put_if_absent(f"evidence/{digest('third').hex}/{digest('x').hex}.json", data)
    with pytest.raises(InfrastructureError, match="its content has the digest"):
        list_evidence(store, digest("third"), _TRUST)


def test_a_record_from_before_signatures_is_read_with_a_doubt(tmp_path: Path) -> None:
    """A store of an earlier Headgate keeps its history; it does not count until it is signed."""
    store = DirStore(tmp_path)
    data = canonical_json(_LEGACY)
    keep(store, digest("release"), data)
    (found,) = list_evidence(store, digest("release"), _TRUST)
    assert (found.kind, found.verdict, found.facts) == ("scan", _SCAN.verdict, {"packages": 3})
    assert (found.signer, found.doubt, found.digest) == (None, UNSIGNED, Digest.of_bytes(data))


@settings(max_examples=300)
@given(mangled(_LEGACY))
def test_a_mangled_old_record_is_a_value_error_at_worst(value: Any) -> None:
    """And one that is read can be shown and sorted."""
    _reads_or_refuses(json.dumps(value).encode())


@settings(max_examples=300)
@given(mangled(json.loads(_SCAN.statement.to_bytes())))
def test_a_mangled_statement_is_a_value_error_at_worst(value: Any) -> None:
    """Also one that a trusted key signed: a newer or broken Headgate may have written it."""
    try:
        said = Statement.from_json(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    _reads_or_refuses(seal(said, _SIGNER))


@given(st.binary())
def test_any_bytes_are_a_value_error(data: bytes) -> None:
    """Whatever somebody put there."""
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's own words differ
        read_evidence(data, _TRUST)


def test_evidence_of_another_tool_is_refused() -> None:
    """Its predicate has none of our fields."""
    said = Statement(
        predicate_type=predicate_type("quality"), subjects={"x": digest("x")}, predicate={"a": 1}
    )
    with pytest.raises(ValueError, match="not evidence of ours"):
        read_evidence(seal(said, _SIGNER), _TRUST)


def test_evidence_is_named_plainly() -> None:
    """Kinds become parts of URIs, and the subject has its name already."""
    with pytest.raises(ValueError, match="not a name"):
        Evidence(kind="A scan", subject=digest("x"))
    with pytest.raises(ValueError, match="another name"):
        Evidence(kind="scan", subject=digest("x"), also={"subject": digest("y")})


def _reads_or_refuses(data: bytes) -> None:
    try:
        found = read_evidence(data, _TRUST)
    except ValueError:
        return
    assert str(found.facts.get("at", "")) is not None
    json.dumps(found.to_json()).encode()
    assert not found.verdict or all(isinstance(f.message, str) for f in found.verdict.findings)
