"""Which evidence lets a version be staged and promoted, and what is said when it does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.alias import Alias
from registry.approval import approval
from registry.counting import MAX_SKEW, Case, newest_of, subject_of
from registry.errors import HeadgateError, Inconclusive, InfrastructureError, NeedsApproval, Refused
from registry.evidence import Evidence
from registry.policy import DEFAULT, Policy, Requirement, exemption, insist, missing_evidence
from registry.predicates import KINDS
from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey
from tests.simulators.history import signed
from tests.simulators.records import digest, draft

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
VERSION = draft().numbered(3)
KEYS = {name: KeySigner.generate() for name in ("ci", "ann", "bob", "scanner", "stranger")}
TRUST = Trust(
    tuple(
        TrustedKey(name, KEYS[name].public_pem, frozenset({"scan"}) if name == "scanner" else None)
        for name in ("ci", "ann", "bob", "scanner")
    )
)


def evidence(
    kind: str,
    outcome: Outcome = Outcome.PASS,
    age: timedelta = timedelta(hours=1),
    by: str = "ci",
    **facts: Any,
) -> Evidence:
    finding = Finding(name="x", outcome=outcome, message="because", failure_class=FailureClass.INFRA)
    subject = subject_of(VERSION, kind)
    assert subject
    facts = {"at": (NOW - age).isoformat(timespec="microseconds"), **facts}
    if kind == "release":
        facts = {"version": "tiny/3", "policy": str(digest("policy")), "evidence": [], **facts}
    found = Evidence(kind=kind, subject=subject, verdict=Verdict.of([finding]), facts=facts)
    return signed(found, KEYS[by], TRUST)


def decision(by: str, *, reject: bool = False, age: timedelta = timedelta(hours=1)) -> Evidence:
    said = approval(VERSION, at=NOW - age, by=by, why="looked at it", reject=reject)
    return signed(said, KEYS[by], TRUST)


GATES = (evidence("quality"), evidence("scan"), evidence("release"))


def asks(*requirements: Requirement) -> Policy:
    return Policy(staging=(), production=requirements)


def case_of(found: Iterable[Evidence], live: timedelta | None = None) -> Case:
    """``live`` is how long ago it was first in production here."""
    return Case(VERSION, tuple(found), NOW, TRUST, None if live is None else NOW - live)


def missing(
    found: Iterable[Evidence],
    policy: Policy = DEFAULT,
    alias: Alias = Alias.PRODUCTION,
    live: timedelta | None = None,
) -> list[str]:
    return missing_evidence(policy, alias, case_of(found, live))


def waived(until: str, outcome: Outcome = Outcome.ERROR, **values: Any) -> Evidence:
    return evidence("scan", outcome, waiver={"owner": "ann", "reason": "r", "until": until}, **values)


@pytest.mark.parametrize("alias", Alias)
def test_a_pass_of_everything_is_enough(alias: Alias) -> None:
    """Nothing is missing, for any alias."""
    assert missing(GATES, alias=alias) == []
    insist(DEFAULT, alias, case_of(GATES))


def test_no_evidence_names_all_that_is_missing() -> None:
    """Everything is said at once; a candidate needs nothing, since the gates judge before it is one."""
    assert missing([]) == [
        "no quality gate has judged it",
        "no scan has looked at its runtime",
        "no release has bound its evidence together, or its record has changed: see `headgate verify`",
    ]
    assert missing([], alias=Alias.CANDIDATE) == []


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE])
@pytest.mark.parametrize("kind", ["quality", "scan", "release"])
def test_anything_but_a_pass_keeps_it_back(kind: str, outcome: Outcome) -> None:
    """Inconclusive and error are no passes; the judge's reasons are repeated."""
    (sentence,) = missing([*GATES, evidence(kind, outcome, age=timedelta())])
    assert f"said {outcome}: because" in sentence


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.FAIL])
def test_a_sanity_gate_of_other_settings_says_nothing_of_this_release(outcome: Outcome) -> None:
    """The same weights served as float16: a pass there vouches for nothing, a failure forbids no way back."""
    said = evidence("sanity", outcome)
    other = signed(replace(said, subject=digest("as float16")), KEYS["ci"], TRUST)
    asked = missing([*GATES, other], asks(Requirement(kind="sanity")), live=timedelta(days=10))
    assert asked == missing(GATES, asks(Requirement(kind="sanity")), live=timedelta(days=10))
    assert subject_of(VERSION, "sanity") == VERSION.release_digest


def test_a_verdict_that_is_not_there_is_no_pass() -> None:
    """Of a gate; a statement of provenance judges nothing."""
    blank = replace(evidence("quality"), verdict=None)
    assert missing([blank, *GATES[1:]]) == ["its quality gate came to no verdict"]
    fetched = replace(evidence("fetch", **_BUILD), verdict=None)
    assert missing([fetched], asks(Requirement(kind="fetch"))) == []


_BUILD: dict[str, Any] = {"stage": "fetch", "parameters": {}, "dependencies": {}, "versions": {}, "run": "r"}


def test_a_waiver_covers_an_error_until_its_last_day() -> None:
    """It holds on that day and not after."""
    gates = (GATES[0], GATES[2])
    assert missing([*gates, waived("2026-11-21")]) == []
    assert missing([*gates, waived("2026-11-20")]) == ["the waiver of ann for its scan ended on 2026-11-20"]


def test_a_waiver_never_covers_a_fail() -> None:
    """Proven vulnerabilities stay a no; nor does a waiver that cannot be read cover anything."""
    gates = (GATES[0], GATES[2])
    assert len(missing([*gates, waived("2027-01-01", Outcome.FAIL)])) == 1
    assert len(missing([*gates, waived("soon")])) == 1


def test_what_was_live_may_come_back() -> None:
    """Whatever the age of its evidence and waivers; only newer harm keeps it back."""
    old = [evidence(kind, age=timedelta(days=200)) for kind in ("quality", "release")]
    strict = asks(
        *(Requirement(kind=k, max_age=timedelta(days=9)) for k in ("quality", "release")),
        Requirement(kind="scan"),
    )
    found = [*old, waived("2026-06-01", age=timedelta(days=200))]
    assert len(missing(found, strict)) == 3
    live = timedelta(days=199)
    assert missing(found, strict, live=live) == []
    assert len(missing([*found, evidence("scan", Outcome.FAIL)], strict, live=live)) == 1


def test_a_rollout_is_no_proof_that_it_was_live_here() -> None:
    """Evidence travels: what succeeded in another house, or was signed by hand, excuses from nothing here."""
    rollout = evidence("rollout", phase="succeeded", age=timedelta(days=30))
    assert len(missing([*GATES, rollout], STRICTER)) == 4
    assert exemption(case_of([*GATES, rollout])) == ""


def test_what_was_live_in_the_future_was_not_live() -> None:
    """The clock of whoever moved the alias is wrong, so nobody knows which harm came later."""
    assert missing(GATES, STRICTER, live=-MAX_SKEW) == []
    assert len(missing(GATES, STRICTER, live=-2 * MAX_SKEW)) == 4
    assert exemption(case_of(GATES, -2 * MAX_SKEW)) == ""


def test_an_exemption_is_said_in_a_sentence() -> None:
    """Since when, and what counts all the same; a version that never was live is not exempt."""
    assert exemption(case_of(GATES)) == ""
    assert exemption(case_of(GATES, timedelta(days=1))) == (
        "it is exempt from the policy: it was in production here, first on 2026-11-20 12:00 UTC,"
        " and only its release, harm proven since and rejections count"
    )


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.INCONCLUSIVE])
@pytest.mark.parametrize("kind", ["quality", "scan"])
def test_a_judge_that_could_not_tell_does_not_keep_back_what_was_live(kind: str, outcome: Outcome) -> None:
    """A scanner that is down proves no harm; it does not hide harm that was proven before either."""
    live = timedelta(hours=1)
    unsure = evidence(kind, outcome, age=timedelta(0))
    assert len(missing([*GATES, unsure])) == 1
    assert missing([*GATES, unsure], live=live) == []
    harm = evidence(kind, Outcome.FAIL, age=timedelta(minutes=1))
    assert "said fail" in missing([*GATES, harm, unsure], live=live)[0]
    others = [e for e in GATES if e.kind != kind]
    assert len(missing([*others, unsure])) == 1
    assert missing([*others, unsure], live=live) == []


LIVE = timedelta(days=30)
STRICTER = asks(
    Requirement(kind="approval", count=2, four_eyes=True),
    Requirement(kind="sbom"),
    Requirement(kind="load", max_age=timedelta(hours=1)),
    Requirement(kind="release", signed_by=frozenset({"ann"})),
)


def test_a_policy_made_stricter_does_not_keep_back_what_was_live() -> None:
    """Going back asks for the release alone; a version that never was live needs all of it."""
    assert len(missing(GATES, STRICTER)) == 4
    assert missing(GATES, STRICTER, live=LIVE) == []
    (gap,) = missing(GATES[:2], STRICTER, live=LIVE)
    assert gap.startswith("no release has bound its evidence together")
    assert missing([], asks(), live=LIVE) == []


def test_harm_proven_since_keeps_back_what_was_live() -> None:
    """By any gate, asked for or not, until it passes again; what was known before it went live does not."""
    harm = evidence("load", Outcome.FAIL, age=timedelta(days=2))
    (sentence,) = missing([*GATES, harm], live=LIVE)
    assert sentence == "its load test said fail: because"
    assert missing([*GATES, harm, evidence("load")], live=LIVE) == []
    assert missing([*GATES, evidence("load", Outcome.FAIL, age=timedelta(days=31))], live=LIVE) == []


def test_a_rejection_keeps_back_what_was_live() -> None:
    """A person has looked at it."""
    (sentence,) = missing([*GATES, decision("bob", reject=True)], STRICTER, live=LIVE)
    assert sentence.startswith("bob rejected it")


def test_a_release_that_could_not_tell_does_not_keep_back_what_was_live() -> None:
    """A summary made while the scanner was down takes nothing back; one that says fail does."""
    for outcome, gaps in ((Outcome.ERROR, 0), (Outcome.FAIL, 1)):
        found = [*GATES, evidence("release", outcome, age=timedelta())]
        assert len(missing(found, live=LIVE)) == gaps


def test_an_easy_suite_does_not_undo_a_hard_one() -> None:
    """Of each suite the newest gate has to pass, however old its failure is."""
    failed = evidence("quality", Outcome.FAIL, age=timedelta(days=40), suite="full")
    found = [failed, evidence("quality", suite="smoke"), *GATES[1:]]
    assert missing(found) == ["its quality gate full said fail: because"]
    assert len(missing(found, asks(_hours("quality", 12)))) == 1
    assert missing([*found, evidence("quality", suite="full")]) == []
    assert len(missing([*GATES, *found[:2]], live=LIVE)) == 0  # it was known before it went live
    since = evidence("quality", Outcome.FAIL, age=timedelta(days=1), suite="full")
    assert len(missing([*GATES, since, *found[1:]], live=LIVE)) == 1


UNDECIDED = (Outcome.INCONCLUSIVE, Outcome.ERROR)


@pytest.mark.parametrize("outcome", UNDECIDED)
def test_another_specs_suite_that_could_not_tell_keeps_nothing_back(outcome: Outcome) -> None:
    """The version was published by another suite, so releasing it again could not clear it; its no counts."""
    own = evidence("quality", suite="easy")
    found = [own, GATES[1], evidence("release", evidence=[str(own.digest)])]
    unsure = evidence("quality", outcome, age=timedelta(), suite="hard")
    assert missing([*found, unsure]) == []
    failed = evidence("quality", Outcome.FAIL, age=timedelta(minutes=9), suite="hard")
    assert missing([*found, failed]) == ["its quality gate hard said fail: because"]
    assert missing([*found, failed, unsure]) == ["its quality gate hard said fail: because"]


@pytest.mark.parametrize("outcome", UNDECIDED)
def test_the_suite_that_a_version_was_published_by_has_to_tell(outcome: Outcome) -> None:
    """Whoever releases it again asks that suite; where no statement says which it was, every suite has to."""
    own = evidence("quality", suite="easy")
    unsure = evidence("quality", outcome, age=timedelta(), suite="easy")
    stated = evidence("release", evidence=[str(own.digest)])
    assert len(missing([own, unsure, GATES[1], stated])) == 1
    assert len(missing([own, evidence("quality", outcome, suite="hard"), *GATES[1:]])) == 1
    untrusted = evidence("release", evidence=[str(own.digest)], by="stranger")
    assert len(missing([own, evidence("quality", outcome, suite="hard"), *GATES[1:], untrusted])) == 1


def test_signatures_are_counted_by_suite() -> None:
    """Two keys under two suites are one signature each."""
    policy = asks(Requirement(kind="quality", count=2))
    found = [evidence("quality", suite="full"), evidence("quality", suite="smoke", by="ann")]
    assert missing(found, policy) == ["its quality gate has 1 of 2 signers"]
    assert missing([*found, evidence("quality", suite="full", by="bob")], policy) == []


def test_the_newest_record_counts() -> None:
    """A later pass replaces an earlier error, and a later error a pass."""
    errors = evidence("scan", Outcome.ERROR, age=timedelta(days=9))
    assert missing([*GATES, errors]) == []
    assert len(missing([*GATES, evidence("scan", Outcome.ERROR, age=timedelta(0))])) == 1


@pytest.mark.parametrize("kind", ["quality", "scan"])
def test_of_one_moment_the_record_that_did_not_pass_counts(kind: str) -> None:
    """Whatever their order: which came last is not known, and no doubt is a pass."""
    failed = evidence(kind, Outcome.FAIL)
    for found in ([*GATES, failed], [failed, *GATES]):
        assert len(missing(found)) == 1
        newest = newest_of(found, kind)
        assert newest
        assert newest.verdict == failed.verdict


def test_evidence_nobody_trusted_signed_does_not_count() -> None:
    """The sentence says whose key it is; neither its pass nor its failure changes anything."""
    (sentence,) = missing([evidence("quality", by="stranger"), *GATES[1:]])
    assert sentence.startswith("no quality gate counts (of 2026-11-21 11:00: it is signed by the key ")
    assert missing([*GATES, evidence("quality", Outcome.FAIL, age=timedelta(), by="stranger")]) == []


def test_unsigned_evidence_of_an_older_headgate_does_not_count() -> None:
    """The sentence says why."""
    bare = replace(
        GATES[0], signer=None, key_id="", doubt="it is not signed: it was recorded before evidence was"
    )
    assert "it is not signed: it was recorded before" in missing([bare, *GATES[1:]])[0]


def test_a_key_counts_for_what_it_is_trusted_for() -> None:
    """The scanner's key may sign scans and nothing else."""
    assert missing([GATES[0], GATES[2], evidence("scan", by="scanner")]) == []
    (sentence,) = missing([evidence("quality", by="scanner"), *GATES[1:]])
    assert "the key scanner may not sign quality evidence" in sentence


def test_evidence_for_another_digest_does_not_count() -> None:
    """A gate of other weights, or of the same weights under another configuration, says nothing here."""
    other = draft(weights_set=digest("other")).numbered(4)
    foreign = replace(GATES[0], subject=other.release_digest)
    assert f"it speaks of {other.release_digest}" in missing([foreign, *GATES[1:]])[0]
    release = replace(GATES[2], subject=VERSION.release_digest)
    assert f"not of {VERSION.record_digest}" in missing([*GATES[:2], release])[0]


def test_evidence_too_old_does_not_count() -> None:
    """At the limit it does; the sentence names both ages."""
    policy = asks(Requirement(kind="quality", max_age=timedelta(days=90)))
    assert missing([evidence("quality", age=timedelta(days=90))], policy) == []
    (sentence,) = missing([evidence("quality", age=timedelta(days=90, hours=3))], policy)
    assert "it is 90.1 days old, and the policy allows 90.0 days" in sentence
    (sentence,) = missing([evidence("scan", age=timedelta(hours=13))], asks(_hours("scan", 12)))
    assert "13.0 hours old, and the policy allows 12.0 hours" in sentence
    for allowed, told in ((timedelta(minutes=5), "5.0 minutes"), (timedelta(minutes=1), "60 seconds")):
        (sentence,) = missing([evidence("scan", age=timedelta(minutes=61))], asks(_within("scan", allowed)))
        assert f"61.0 minutes old, and the policy allows {told}" in sentence


def _hours(kind: str, hours: int) -> Requirement:
    return _within(kind, timedelta(hours=hours))


def _within(kind: str, age: timedelta) -> Requirement:
    return Requirement(kind=kind, max_age=age)


def test_a_pass_from_the_future_does_not_count() -> None:
    """Five minutes of skew are allowed; a failure counts from whenever it is."""
    assert missing([evidence("quality", age=-MAX_SKEW), *GATES[1:]]) == []
    (sentence,) = missing([evidence("quality", age=-2 * MAX_SKEW), *GATES[1:]])
    assert "dated 10 minutes in the future: the clock of a machine is wrong" in sentence
    assert missing([evidence("quality", age=-2 * MAX_SKEW), *GATES]) == []
    assert len(missing([evidence("quality", Outcome.FAIL, age=-2 * MAX_SKEW), *GATES])) == 1


@pytest.mark.parametrize("at", [None, "", "yesterday", 7])
def test_evidence_without_a_date_does_not_count(at: Any) -> None:
    """It could be of any age."""
    undated = replace(GATES[0], facts={"at": at} if at is not None else {})
    assert "it does not say when it was made" in missing([undated, *GATES[1:]])[0]


def test_documents_count_without_a_date_and_a_verdict() -> None:
    """An SBOM is what its standard says it is."""
    sbom = Evidence(kind="sbom", subject=VERSION.runtime, facts={"bomFormat": "CycloneDX"})
    policy = asks(Requirement(kind="sbom"))
    assert missing([signed(sbom, KEYS["ci"], TRUST)], policy) == []
    assert missing([], policy) == ["there is no sbom evidence about it"]


def test_a_policy_may_name_the_keys() -> None:
    """Another trusted key's pass does not count, nor does its failure."""
    policy = asks(Requirement(kind="quality", signed_by=frozenset({"ann", "bob"})))
    (sentence,) = missing([evidence("quality")], policy)
    assert "ci signed it, and the policy wants ann or bob" in sentence
    found = [evidence("quality", by="ann"), evidence("quality", Outcome.FAIL, age=timedelta())]
    assert missing(found, policy) == []


def test_two_signatures_are_two_keys() -> None:
    """The same key twice is one; two keys suffice."""
    policy = asks(Requirement(kind="quality", count=2))
    twice = [evidence("quality"), evidence("quality", age=timedelta(days=1))]
    assert missing(twice, policy) == ["its quality gate has 1 of 2 signers"]
    assert missing([*twice, evidence("quality", by="ann")], policy) == []


def test_two_keys_of_one_holder_are_one_signature() -> None:
    """After a rotation ann signs with another key, under the same name."""
    old, new = KeySigner.generate(), KeySigner.generate()
    trust = Trust(tuple(TrustedKey("ann", key.public_pem) for key in (old, new)))
    said = tuple(signed(approval(VERSION, at=NOW, by="ann", why="w"), key, trust) for key in (old, new))
    policy = asks(Requirement(kind="approval", count=2))
    told = missing_evidence(policy, Alias.PRODUCTION, Case(VERSION, said, NOW, trust))
    assert told == ["its approval has 1 of 2 signers"]


FOUR_EYES = asks(*DEFAULT.production, Requirement(kind="approval", four_eyes=True))


def test_whoever_released_cannot_approve_alone() -> None:
    """Four eyes: the approval needs another key than the release's."""
    assert missing(GATES, FOUR_EYES) == ["nobody has approved it"]
    (sentence,) = missing([*GATES, decision("ci")], FOUR_EYES)
    assert "ci signed it, and the release as well: the policy wants four eyes" in sentence
    assert missing([*GATES, decision("ci"), decision("ann")], FOUR_EYES) == []


def test_whoever_released_it_once_more_cannot_approve_either() -> None:
    """Each releaser is one pair of eyes."""
    again = evidence("release", by="ann")
    assert len(missing([*GATES, again, decision("ann")], FOUR_EYES)) == 1
    assert missing([*GATES, again, decision("bob")], FOUR_EYES) == []


def test_a_rejection_takes_an_approval_back() -> None:
    """And an approval a rejection, of the same key, by their times."""
    older = timedelta(hours=2)
    (sentence,) = missing([*GATES, decision("ann", age=older), decision("ann", reject=True)], FOUR_EYES)
    assert sentence == "ann rejected it on 2026-11-21 11:00: looked at it"
    assert missing([*GATES, decision("ann", reject=True, age=older), decision("ann")], FOUR_EYES) == []


@pytest.mark.parametrize("policy", [DEFAULT, FOUR_EYES])
def test_one_standing_rejection_keeps_it_back(policy: Policy) -> None:
    """Whoever approved it, and whether or not the policy asks for approvals; a stranger's does not."""
    found = [*GATES, decision("ann")]
    assert len(missing([*found, decision("bob", reject=True)], policy)) == 1
    for who in ("stranger", "scanner"):
        assert missing([*found, decision(who, reject=True)], policy) == []


def test_a_rejection_holds_where_the_policy_asks_for_nothing() -> None:
    """An empty list of requirements does not take back what a person has said; candidates are not held."""
    rejected = decision("bob", reject=True)
    assert len(missing([rejected], asks())) == 1
    assert missing([rejected], asks(), Alias.CANDIDATE) == []


def test_an_approval_is_of_one_version() -> None:
    """The same bytes under another name, or in another image, need another yes; a no is for all."""
    policy = asks(Requirement(kind="approval"))
    other = draft("tinier").numbered(3)
    assert other.release_digest == VERSION.release_digest
    yes, no = (
        signed(approval(other, at=NOW, by="ann", why="w", reject=reject), KEYS["ann"], TRUST)
        for reject in (False, True)
    )
    (sentence,) = missing([yes], policy)
    assert "it is an approval of tinier/3" in sentence
    assert len(missing([no, decision("bob")], policy)) == 1


def test_two_approvals_of_two_people() -> None:
    """One is not enough, and the sentence counts."""
    policy = asks(Requirement(kind="approval", count=2, four_eyes=True))
    found = [evidence("release"), decision("ann"), decision("ann", age=timedelta(days=1))]
    assert missing(found, policy) == ["its approval has 1 of 2 signers"]
    assert missing([*found, decision("bob")], policy) == []


def test_only_people_missing_is_another_error() -> None:
    """Exit code 20 means that a person has to decide; anything else is to be mended first."""
    with pytest.raises(NeedsApproval, match=r"tiny/3 may not become production\. Nobody|nobody has approved"):
        insist(FOUR_EYES, Alias.PRODUCTION, case_of(GATES))
    with pytest.raises(
        Inconclusive, match=r"no quality gate.*nobody has approved it\. Next: release it again"
    ):
        insist(FOUR_EYES, Alias.PRODUCTION, case_of(GATES[1:]))


_DAY = timedelta(days=1)
_SAYS_NO = [
    [evidence("quality", Outcome.FAIL), *GATES[1:]],
    [evidence("quality", Outcome.FAIL), *GATES[1:], evidence("quality", Outcome.ERROR, suite="other")],
    [GATES[0], waived("2026-11-20"), GATES[2]],
    [*GATES, decision("bob", reject=True)],
    [evidence("scan", Outcome.FAIL)],
]
_CANNOT_TELL = [
    [],
    GATES[1:],
    [evidence("quality", age=2 * _DAY), *GATES[1:]],
    [evidence("quality", by="stranger"), *GATES[1:]],
    [evidence("quality", Outcome.ERROR), *GATES[1:]],
    [evidence("quality", Outcome.INCONCLUSIVE), *GATES[1:]],
    [replace(evidence("quality"), verdict=None), *GATES[1:]],
]


@pytest.mark.parametrize(
    ("found", "error"),
    [*((found, Refused) for found in _SAYS_NO), *((found, Inconclusive) for found in _CANNOT_TELL)],
)
def test_a_no_is_another_error_than_nothing_known(found: list[Evidence], error: type[HeadgateError]) -> None:
    """A failure, a waiver that ended or a rejection refuses (10); what is missing or doubtful holds (13)."""
    policy = asks(_within("quality", _DAY), Requirement(kind="scan"), Requirement(kind="release"))
    with pytest.raises(error):
        insist(policy, Alias.PRODUCTION, case_of(found))


def test_a_signature_short_is_a_person_short_only_of_approvals() -> None:
    """A second gate can be measured; a second approval needs somebody."""
    for kind, found, error in (
        ("quality", GATES, Inconclusive),
        ("approval", [*GATES, decision("ann")], NeedsApproval),
    ):
        with pytest.raises(error, match="has 1 of 2 signers"):
            insist(asks(Requirement(kind=kind, count=2)), Alias.PRODUCTION, case_of(found))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("quantize", "there is no quantize evidence about it"),
        ("fidelity", "no fidelity gate has compared it with its source"),
    ],
)
def test_weights_that_were_not_quantized_need_no_proof_of_it(kind: str, said: str) -> None:
    """There is nothing to prove; of others a pass is asked for."""
    policy = asks(Requirement(kind=kind))
    assert missing([], policy) == [said]
    plain = draft(source_set=VERSION.weights_set).numbered(1)
    assert missing_evidence(policy, Alias.PRODUCTION, Case(plain, (), NOW, TRUST)) == []


_ANY = st.builds(
    evidence,
    st.sampled_from(["quality", "scan", "release", "approval", "rollout", "load"]),
    st.sampled_from(Outcome),
    st.timedeltas(timedelta(minutes=-20), timedelta(days=400)),
    st.sampled_from(list(KEYS)),
    phase=st.sampled_from(["succeeded", "rolled_back"]),
)


@given(st.lists(_ANY, max_size=6), st.randoms())
def test_the_order_of_evidence_does_not_matter(found: list[Evidence], random: Any) -> None:
    """Nor does evidence that is there twice."""
    shuffled = [*found, *found[:2]]
    random.shuffle(shuffled)
    for policy in (DEFAULT, FOUR_EYES):
        assert bool(missing(found, policy)) == bool(missing(shuffled, policy))


@given(st.lists(_ANY, max_size=6), _ANY)
def test_a_failure_never_helps(found: list[Evidence], more: Evidence) -> None:
    """A record that did not pass lifts no refusal; a stranger's changes nothing."""
    for live in (None, LIVE):
        if more.signer is None:
            assert bool(missing([*found, more], live=live)) == bool(missing(found, live=live))
        elif more.verdict and not more.verdict.passed and missing(found, live=live):
            assert missing([*found, more], live=live)


def test_the_digest_names_every_part() -> None:
    """A release says under which policy it was made."""
    policies = [
        DEFAULT,
        asks(),
        asks(Requirement(kind="scan")),
        asks(Requirement(kind="scan", max_age=timedelta(days=1))),
        asks(Requirement(kind="scan", count=2)),
        asks(Requirement(kind="scan", four_eyes=True)),
        asks(Requirement(kind="scan", signed_by=frozenset({"ann"}))),
        Policy(staging=(Requirement(kind="scan"),), production=()),
    ]
    assert len({policy.digest for policy in policies}) == len(policies)
    assert asks(Requirement(kind="scan")).digest == policies[2].digest


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "rollout"},
        {"kind": "horoscope"},
        {"kind": "scan", "count": 0},
        {"kind": "scan", "count": 3, "signed_by": frozenset({"ann", "bob"})},
        {"kind": "sbom", "max_age": timedelta(days=1)},
        {"kind": "release", "four_eyes": True},
    ],
)
def test_what_no_evidence_could_meet_is_no_requirement(wrong: dict[str, Any]) -> None:
    """A policy that can never be met is a mistake, found before it matters."""
    with pytest.raises(ValueError, match=r"kind|count|max_age|four_eyes"):
        Requirement(**wrong)


def test_every_kind_has_a_subject() -> None:
    """So evidence of any kind can be looked for."""
    assert all(subject_of(VERSION, kind) for kind in KINDS)


LOST = "The alias move audit/tiny/cpu/00000002.json is missing, and a later one is there."


def test_a_damaged_log_is_said_where_it_may_have_excused_what_is_missing() -> None:
    """Half a log tells nobody that a version was never live; with all its evidence it needs none."""
    case = replace(case_of([evidence("release")]), log_wrong=(LOST,))
    with pytest.raises(
        InfrastructureError, match=r"quality gate.*cannot be told: The alias move.* Next: restore"
    ):
        insist(DEFAULT, Alias.PRODUCTION, case)
    insist(DEFAULT, Alias.PRODUCTION, replace(case_of(GATES), log_wrong=(LOST,)))
    alone = replace(case_of(GATES), log_wrong=(LOST,))
    with pytest.raises(InfrastructureError, match="or `headgate approve tiny/3 --why"):
        insist(asks(Requirement(kind="approval")), Alias.PRODUCTION, alone)


def test_a_damaged_log_excuses_no_harm() -> None:
    """The version may have been live before the first move that is left; what says no is a no still."""
    found = [evidence("release"), evidence("scan", Outcome.FAIL, age=timedelta(hours=3))]
    live = case_of(found, live=timedelta(hours=2))
    assert missing_evidence(DEFAULT, Alias.PRODUCTION, live) == []
    with pytest.raises(Refused, match=r"scan said fail.*since when it was in production here cannot be told"):
        insist(DEFAULT, Alias.PRODUCTION, replace(live, log_wrong=(LOST,)))
