"""Lineage: every step of a version is a node, marked with what its evidence is worth, linked onwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from judging.verdict import Outcome, Verdict
from registry.alias import Alias, Aliases
from registry.alias_move import Move
from registry.counting import Case
from registry.digest import canonical_json
from registry.evidence import Evidence
from registry.lineage import Lineage, Mark, Step
from registry.lineage_trace import trace
from registry.manifest import Manifest, ManifestEntry
from registry.trust import Trust, TrustedKey
from tests.simulators.history import evidence_of, finding, move, signed
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import digest, draft

SIGNER, TRUST = signer_and_trust()
NOW = datetime(2026, 11, 3, tzinfo=UTC)
LATER = datetime(2026, 11, 5, tzinfo=UTC)
VERSION = draft(parent="tiny/2").numbered(3)
FILES = Manifest({"model.safetensors": ManifestEntry(digest("file"), 4_500_000_000)})


def signed_evidence(**changes: Any) -> tuple[Evidence, ...]:
    return tuple(signed(evidence, SIGNER, TRUST) for evidence in evidence_of(VERSION, **changes))


def traced(
    evidence: tuple[Evidence, ...] | None = None,
    *,
    trust: Trust = TRUST,
    moves: tuple[Move, ...] = (),
    aliases: Aliases = Aliases(),  # noqa: B008 - frozen
    missing: dict[str, list[str]] | None = None,
) -> Lineage:
    found = signed_evidence() if evidence is None else evidence
    return trace(Case(VERSION, found, NOW, trust), FILES, moves, aliases, missing or {})


def marks(lineage: Lineage) -> dict[str, Mark]:
    return {node.title: node.mark for node in lineage.nodes}


def test_a_whole_life_is_one_graph() -> None:
    """From the source to the rollout, each with its digest, its verdict and who signed it."""
    lineage = traced()
    assert {title: str(mark) for title, mark in marks(lineage).items()} == {
        "source": "signed",
        "recipe": "signed",
        "weights": "missing",
        "runtime": "signed",
        "serve configuration": "plain",
        "quality quick": "pass",
        "load": "pass",
        "scan": "pass",
        "approval": "pass",
        "image": "signed",
        "tiny/3": "pass",
        "rollout": "pass",
    }
    assert all(node.digests for node in lineage.nodes)
    assert {node.signer for node in lineage.nodes if node.evidence} == {"builder"}


def test_every_edge_leads_forward_between_nodes_that_exist() -> None:
    """A drawing needs no cycle breaking, and only the source has nothing before it."""
    lineage = traced(moves=(move(VERSION, Alias.CANDIDATE, Aliases(), SIGNER, TRUST),), aliases=Aliases(3))
    steps = {node.id: list(Step).index(node.step) for node in lineage.nodes}
    assert len(steps) == len(lineage.nodes)
    assert all(steps[before] < steps[after] for before, after in lineage.edges)
    reached = {after for _, after in lineage.edges}
    assert steps.keys() - reached == {"source", "runtime", "serve"}


def test_a_version_without_evidence_still_has_a_lineage() -> None:
    """What should be there is marked as missing, the gates too."""
    found = marks(traced(()))
    missing = {title for title, mark in found.items() if mark is Mark.MISSING}
    assert missing == {"source", "recipe", "weights", "runtime", "quality", "scan", "image", "tiny/3"}


def test_weights_taken_as_they_are_need_no_recipe_evidence() -> None:
    """Nothing was made, so nobody has to say how."""
    version = draft(recipe={"engine": "none"}).numbered(1)
    lineage = trace(Case(version, (), NOW, TRUST), None, (), Aliases(), {})
    assert marks(lineage)["recipe"] is Mark.PLAIN


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_gate_is_marked_with_its_verdict(outcome: Outcome) -> None:
    """Four values, shown as they are."""
    assert marks(traced(signed_evidence(quality=outcome)))["quality quick"] == str(outcome)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_each_suite_has_a_node_and_what_another_spec_asked_is_told_apart(outcome: Outcome) -> None:
    """Gates hang on weights, runtime and serve configuration, which several specs may come to."""
    made = signed_evidence()
    own = next(e for e in made if e.kind == "quality")
    facts = {"at": "2026-11-02T10:00:00+00:00", "run": "run-2", "suite": "hard"}
    verdict = Verdict.of([finding("hard/x", outcome)])
    other = Evidence(kind="quality", subject=VERSION.release_digest, verdict=verdict, facts=facts)
    released = next(e for e in made if e.kind == "release")
    listing = {**released.facts, "evidence": [str(own.digest)]}
    stated = signed(replace(released, facts=listing), SIGNER, TRUST)
    found = (*(e for e in made if e.kind != "release"), stated, signed(other, SIGNER, TRUST))
    nodes = {node.title: node for node in traced(found).nodes if node.title.startswith("quality")}
    assert [*nodes] == ["quality quick", "quality hard"]
    assert (nodes["quality quick"].id, nodes["quality quick"].mark) == ("judged-quality", Mark.PASS)
    told = nodes["quality hard"]
    assert (told.id, told.summary.partition(":")[0]) == ("judged-quality-2", "of another spec")
    decided = outcome in {Outcome.PASS, Outcome.FAIL}
    assert told.mark == (Mark(outcome) if decided else Mark.DOUBTFUL)
    assert ("was not published by it" in told.doubt) is not decided


@pytest.mark.parametrize("kind", ["sanity", "fidelity"])
def test_what_a_served_model_says_speaks_of_the_whole_release(kind: str) -> None:
    """Its node hangs on what serves the weights too; a version from before the gate has none."""
    verdict = Verdict.of([finding("layers")])
    facts = {"at": "2026-11-02T10:00:00.000000+00:00", "run": "run-1"}
    said = Evidence(kind=kind, subject=VERSION.release_digest, verdict=verdict, facts=facts)
    lineage = traced((*signed_evidence(), signed(said, SIGNER, TRUST)))
    assert marks(lineage)[kind] is Mark.PASS
    assert {before for before, after in lineage.edges if after == f"judged-{kind}"} == {
        "weights",
        "runtime",
        "serve",
    }
    assert kind not in marks(traced())


def test_the_newest_that_counts_is_shown() -> None:
    """A later failure outweighs the pass; a later pass by a stranger does not outweigh the failure."""
    stranger, _ = signer_and_trust("stranger")
    fail = Verdict.of([finding("cve", Outcome.FAIL)])
    late = "2026-11-02T00:00:00+00:00"
    plain = Evidence(kind="scan", subject=VERSION.release_digest, verdict=fail, facts={"at": late})
    rescan = signed(plain, SIGNER, TRUST)
    later = replace(plain, verdict=Verdict.of([finding("cve")]), facts={"at": "2026-11-02T12:00:00+00:00"})
    claimed = signed(later, stranger, TRUST)
    scan = next(n for n in traced((*signed_evidence(), rescan, claimed)).nodes if n.title == "scan")
    assert (scan.mark, scan.signer) == (Mark.FAIL, "builder")
    assert len(scan.evidence) == 3


def fetched(uri: str, commit: str, day: int) -> Evidence:
    facts = {
        "stage": "fetch", "run": "run-1", "versions": {}, "parameters": {"uri": uri},
        "dependencies": {uri: {"gitCommit": commit}}, "at": f"2026-11-0{day}T09:00:00.000000+00:00",
    }  # fmt: skip
    assert VERSION.source_set
    return signed(Evidence(kind="fetch", subject=VERSION.source_set, facts=facts), SIGNER, TRUST)


def test_the_source_is_the_fetch_that_the_record_names() -> None:
    """The same bytes came from elsewhere as well, at another commit, and again after the release."""
    own, commit = VERSION.source_uri, VERSION.source_commit
    early, right, again = (fetched(own, commit, day) for day in (1, 2, 4))
    others = (fetched("hf://fork/tiny", commit, 3), fetched(own, "b" * 40, 3))
    rest = tuple(e for e in signed_evidence(day=3) if e.kind != "fetch")
    lineage = trace(
        Case(VERSION, (early, right, again, *others, *rest), LATER, TRUST), FILES, (), Aliases(), {}
    )
    source = lineage.nodes[0]
    assert source.counts == right
    assert source.evidence == (right, early, again)
    assert {e.digest for e in others} <= {e.digest for e in lineage.evidence}


def test_a_source_that_no_fetch_names_is_missing() -> None:
    """That the same bytes are elsewhere does not say that they came from where the record has it."""
    lineage = traced((fetched("hf://fork/tiny", VERSION.source_commit, 1),))
    assert lineage.nodes[0].mark is Mark.MISSING


def untrusted(evidence: Evidence) -> tuple[Evidence, Trust]:
    return signed(evidence, SIGNER, Trust()), Trust()


def of_another_kind(evidence: Evidence) -> tuple[Evidence, Trust]:
    trust = Trust((TrustedKey("builder", SIGNER.public_pem, frozenset({"scan"})),))
    return signed(evidence, SIGNER, trust), trust


def about_another(evidence: Evidence) -> tuple[Evidence, Trust]:
    return signed(replace(evidence, subject=VERSION.image), SIGNER, TRUST), TRUST


def from_the_future(evidence: Evidence) -> tuple[Evidence, Trust]:
    facts = {**evidence.facts, "at": "2031-01-01T00:00:00+00:00"}
    return signed(replace(evidence, facts=facts), SIGNER, TRUST), TRUST


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (untrusted, "not trusted here"),
        (of_another_kind, "may not sign quality"),
        (about_another, "it speaks of"),
        (from_the_future, "in the future"),
    ],
)
def test_evidence_that_does_not_count_marks_doubt_and_says_why(
    spoil: Callable[[Evidence], tuple[Evidence, Trust]], why: str
) -> None:
    """Whatever its verdict is: a pass nobody vouches for is no pass."""
    quality = next(e for e in evidence_of(VERSION) if e.kind == "quality")
    spoilt, trust = spoil(quality)
    node = next(n for n in traced((spoilt,), trust=trust).nodes if n.title == "quality quick")
    assert (node.mark, node.signer) == (Mark.DOUBTFUL, None)
    assert why in node.doubt


def test_aliases_say_who_moved_them_here() -> None:
    """The last arrival counts; an alias from before moves were recorded has nobody."""
    before = Aliases(candidate=2, production=2, previous=1)
    first = move(VERSION, Alias.CANDIDATE, before, SIGNER, TRUST, number=5)
    second = move(VERSION, Alias.PRODUCTION, first.after, SIGNER, TRUST, number=6, who="grace@ops")
    lineage = traced(moves=(first, second), aliases=second.after)
    assert lineage.aliases == ("candidate", "production")
    production = next(node for node in lineage.nodes if node.title == "production")
    assert (production.mark, production.signer) == (Mark.SIGNED, "builder")
    assert "grace@ops" in production.summary
    legacy = traced(aliases=Aliases(candidate=3))
    assert marks(legacy)["candidate"] is Mark.PLAIN


def test_moves_of_other_versions_are_not_its_history() -> None:
    """Only what came to this version or left it, on its own GPU class."""
    other = draft().numbered(2)
    elsewhere = move(draft(gpu_class="h100").numbered(3), Alias.CANDIDATE, Aliases(), SIGNER, TRUST)
    away = move(other, Alias.CANDIDATE, Aliases(candidate=3), SIGNER, TRUST, number=2)
    unrelated = move(other, Alias.STAGING, Aliases(candidate=3), SIGNER, TRUST, number=3)
    assert traced(moves=(elsewhere, away, unrelated)).moves == (away,)


def test_moves_in_another_house_are_history_and_no_doubtful_evidence() -> None:
    """They came with an archive, oldest first; this house's own moves among them are told once."""
    first = move(VERSION, Alias.CANDIDATE, Aliases(), SIGNER, TRUST)
    second = move(VERSION, Alias.STAGING, first.after, SIGNER, TRUST, number=2)
    careful = Trust((TrustedKey("builder", SIGNER.public_pem, frozenset({"scan"})),))
    own = move(VERSION, Alias.PRODUCTION, second.after, SIGNER, TRUST, number=3)
    unread = replace(first.evidence, facts={"at": first.at})
    came = [signed(e, SIGNER, careful) for e in (second.evidence, unread, own.evidence, first.evidence)]
    again = replace(came[2], digest=own.digest)
    lineage = traced((came[0], came[1], again, came[3]), moves=(own,), trust=careful)
    assert [(m.alias, m.number) for m in lineage.elsewhere] == [("candidate", 1), ("staging", 2)]
    assert lineage.moves == (own,)
    assert "alias-move" not in marks(lineage)
    assert [m["number"] for m in lineage.to_json()["moves_elsewhere"]] == [1, 2]


@pytest.mark.parametrize(
    ("aliases", "lacks", "standing"),
    [
        (Aliases(production=3), [], (Mark.PASS, "Live")),
        (Aliases(production=3), ["too old"], (Mark.ERROR, "Live, and the policy would refuse it now")),
        (Aliases(previous=3), [], (Mark.PASS, "May be promoted")),
        (Aliases(), ["too old"], (Mark.FAIL, "May not be promoted")),
    ],
)
def test_where_a_version_stands(aliases: Aliases, lacks: list[str], standing: tuple[Mark, str]) -> None:
    """The first thing a reader sees is the policy's answer."""
    assert traced(aliases=aliases, missing={"staging": [], "production": lacks}).standing == standing


def test_the_same_gap_is_told_once() -> None:
    """Staging and production usually want the same."""
    missing = {"staging": ["no scan"], "production": ["no scan"]}
    assert traced(missing=missing).asked == [(["staging", "production"], ["no scan"])]


def test_a_kind_of_evidence_from_the_future_has_its_node() -> None:
    """A newer Headgate's gate is shown by an older one, even when it is named like a step."""
    plain = Evidence(
        kind="weights", subject=VERSION.release_digest, facts={"at": "2026-11-01T00:00:00+00:00"}
    )
    lineage = traced((signed(plain, SIGNER, TRUST),))
    assert len({node.id for node in lineage.nodes}) == len(lineage.nodes)
    assert [node.title for node in lineage.of_step(Step.JUDGED)].count("weights") == 1


def test_it_is_plain_values_for_programs() -> None:
    """The whole lineage is JSON."""
    first = move(VERSION, Alias.CANDIDATE, Aliases(), SIGNER, TRUST)
    value = traced(moves=(first,), aliases=first.after).to_json()
    canonical_json(value)
    assert value["standing"] == "May be promoted"
    assert {node["mark"] for node in value["nodes"]} >= {"pass", "signed"}
