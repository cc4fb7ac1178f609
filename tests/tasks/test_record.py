"""Evidence that a run records: once while it holds, again as soon as it does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.alias import Alias
from registry.counting import Case
from registry.digest import Digest
from registry.errors import UsageError
from registry.evidence import Evidence, list_evidence, record
from registry.policy import Requirement, missing_evidence
from registry.policy_file import load_policy
from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey
from registry.trust_file import write_trust
from tasks.record import check_means, record_once
from tasks.run import Run
from tasks.workplace import Workplace
from tests.simulators.records import draft
from tests.simulators.released import TinyHome, tiny_home

VERSION = draft().numbered(1)
FACTS = {"suite": "chat", "suite_digest": "sha256:" + "a" * 64}
PASSED = Verdict.of([Finding(name="accuracy", outcome=Outcome.PASS, message="it kept what it knew")])
FAILED = Verdict.of(
    [Finding(name="x", outcome=Outcome.FAIL, message="it lost", failure_class=FailureClass.MODEL)]
)


@dataclass(frozen=True)
class Desk:
    """A home whose runs sign with the home's key; other keys sign by hand."""

    at: TinyHome
    use: Callable[[KeySigner], None]

    @property
    def place(self) -> Workplace:
        return Workplace(self.at.home, os.environ, Run(self.at.home, "run"))

    def judged(self, verdict: Verdict = PASSED, facts: dict[str, Any] = FACTS) -> Digest:
        return record_once(self.place, "quality", VERSION.release_digest, verdict, facts)

    def said(
        self, verdict: Verdict = PASSED, age: timedelta = timedelta(), by: KeySigner | None = None
    ) -> None:
        facts = {**FACTS, "at": (datetime.now(UTC) - age).isoformat(timespec="microseconds")}
        found = Evidence(kind="quality", subject=VERSION.release_digest, verdict=verdict, facts=facts)
        record(self.at.store, by or self.at.signer, found)

    def policy(self, text: str) -> None:
        self.at.home.policy.write_text(text)

    def missing(self) -> list[str]:
        """What its quality gates lack: a release, which every policy asks for, there is none here."""
        found = list_evidence(self.at.store, VERSION.release_digest, self.at.trust)
        case = Case(VERSION, tuple(found), datetime.now(UTC), self.at.trust)
        gaps = missing_evidence(load_policy(self.at.home), Alias.PRODUCTION, case)
        return [gap for gap in gaps if not gap.startswith("no release has bound its evidence together")]

    @property
    def count(self) -> int:
        return len(list_evidence(self.at.store, VERSION.release_digest, self.at.trust))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    at = tiny_home(tmp_path / "home")

    def use(signer: KeySigner) -> None:
        path = tmp_path / f"{signer.key_id}.pem"
        path.write_bytes(signer.to_pem(None))
        path.chmod(0o600)
        monkeypatch.setenv("HEADGATE_SIGNING_KEY", str(path))

    use(at.signer)
    return Desk(at, use)


def test_the_same_again_is_no_new_evidence(desk: Desk) -> None:
    """Whatever the run and the time of day."""
    assert desk.judged() == desk.judged()
    assert desk.count == 1


def test_each_suite_says_it_for_itself(desk: Desk) -> None:
    """What another suite found since neither overrules it nor makes it be said again."""
    other = {**FACTS, "suite": "smoke"}
    found = {desk.judged(), desk.judged(FAILED, other), desk.judged(), desk.judged(FAILED, other)}
    assert desk.count == len(found) == 2


def test_evidence_too_old_for_the_policy_is_recorded_again(desk: Desk) -> None:
    """Else no release could ever bring back what `max_age` asks for."""
    desk.policy("production: [{kind: quality, max_age: 30d}]")
    desk.said(age=timedelta(days=31))
    assert "31.0 days old" in desk.missing()[0]
    assert desk.judged() == desk.judged()
    assert desk.missing() == []
    assert desk.count == 2


def test_a_pass_from_the_future_does_not_stand_in_the_way(desk: Desk) -> None:
    """The clock was wrong once; what is recorded now counts now."""
    desk.policy("production: [{kind: quality}]")
    desk.said(age=timedelta(days=-3))
    assert "in the future" in desk.missing()[0]
    desk.judged()
    assert desk.missing() == []


def test_each_key_says_it_for_itself(desk: Desk) -> None:
    """A policy that wants two signatures, or another machine's, is met by releasing there."""
    desk.policy("production: [{kind: quality, count: 2}]")
    desk.judged()
    assert desk.missing() == ["its quality gate has 1 of 2 signers"]
    other = KeySigner.generate()
    desk.at.trusts("other", other)
    desk.use(other)
    desk.judged()
    assert desk.missing() == []
    desk.use(desk.at.signer)
    desk.judged()
    assert desk.count == 2, "neither overrules the other"


def test_what_another_key_found_out_since_is_answered(desk: Desk) -> None:
    """A pass older than a failure is no longer the last word; the same pass again is."""
    desk.policy("production: [{kind: quality}]")
    other = KeySigner.generate()
    desk.at.trusts("other", other)
    desk.said(age=timedelta(hours=2))
    desk.said(FAILED, timedelta(hours=1), other)
    assert desk.missing() == ["its quality gate chat said fail: it lost"]
    desk.judged()
    assert desk.missing() == []
    assert desk.judged() == desk.judged()


def test_a_key_that_may_not_say_it_does_not_keep_others_from_saying_it(desk: Desk) -> None:
    """What the scanner's key said about quality counts for nothing, so the release says it."""
    desk.policy("production: [{kind: quality}]")
    scanner = KeySigner.generate()
    narrow = TrustedKey("scanner", scanner.public_pem, frozenset({"scan"}))
    write_trust(desk.at.home.keys / "trusted.yaml", Trust((*desk.at.trust.keys, narrow)))
    desk.said(by=scanner)
    assert "may not sign quality" in desk.missing()[0]
    desk.judged()
    assert desk.missing() == []


@pytest.mark.parametrize("repetition", range(3))
def test_a_document_is_recorded_once_beside_another(desk: Desk, repetition: int) -> None:
    """It has no date, so which of two came last is not known; neither is signed over and over."""
    place, older, newer = desk.place, {"bomFormat": "CycloneDX"}, {"bomFormat": "CycloneDX", "version": 2}
    digests = {record_once(place, "sbom", VERSION.runtime, None, bom) for bom in (older, newer) * 3}
    assert len(digests) == 2, repetition


def test_a_key_that_could_not_finish_is_refused_at_once(desk: Desk) -> None:
    """Hours before the alias would have been refused."""
    check_means(desk.place)
    approver = KeySigner.generate()
    narrow = TrustedKey("ann", approver.public_pem, frozenset({"approval"}))
    write_trust(desk.at.home.keys / "trusted.yaml", Trust((*desk.at.trust.keys, narrow)))
    desk.use(approver)
    with pytest.raises(UsageError, match=r"may not move aliases.*ann is trusted for other kinds"):
        check_means(desk.place)
    desk.policy("productoin: []")
    with pytest.raises(UsageError, match="productoin"):
        check_means(desk.place)


def test_the_strictest_age_is_the_limit(desk: Desk) -> None:
    """Of both aliases, and of both requirements of one kind."""
    desk.policy("staging: [{kind: scan, max_age: 7d}]\nproduction: [{kind: scan, max_age: 2d}, {kind: scan}]")
    policy = load_policy(desk.at.home)
    assert policy.max_age("scan") == timedelta(days=2)
    assert policy.max_age("quality") is None
    assert Requirement(kind="scan") in policy.production
