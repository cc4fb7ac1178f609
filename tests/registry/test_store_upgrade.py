"""Upgrading a store: what an older Headgate recorded counts again, because somebody signs for it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from judging.verdict import Verdict
from registry.alias import Alias
from registry.alias_history import check_log
from registry.alias_log import get_aliases
from registry.dir_store import DirStore
from registry.errors import InfrastructureError, UsageError
from registry.evidence import record
from registry.manifests import load_manifest
from registry.oci_layout import OciLayout
from registry.open_case import open_case
from registry.policy import DEFAULT, missing_evidence
from registry.predicates import APPROVAL, QUALITY
from registry.publish import get_version
from registry.signing import KeySigner
from registry.store import Store
from registry.store_upgrade import STANDS_FOR, Operator, Upgraded, upgrade
from registry.trust import Trust, TrustedKey
from registry.verify import Holdings, verify_version
from tests.simulators.keys import signer_and_trust
from tests.simulators.released import WHEN, TinyHome, attest, release, release_statement, tiny_home

OLD = Path(__file__).parents[1] / "fixtures" / "store-1"
"""As commit 58617e4 wrote it."""


def ignore(_done: int, _all: int) -> None:
    """Hears nothing."""


@pytest.fixture
def store(tmp_path: Path) -> DirStore:
    """An old store, unsigned."""
    shutil.copytree(OLD, tmp_path / "store")
    return DirStore(tmp_path / "store")


@pytest.fixture
def layout(tmp_path: Path) -> OciLayout:
    """A layout from which the old images have gone."""
    return tiny_home(tmp_path / "home").layout


@pytest.fixture
def operator() -> Operator:
    """Who upgrades."""
    signer, trust = signer_and_trust("operator")
    return Operator(signer=signer, trust=trust, policy=DEFAULT, who="ada@workshop", now=WHEN)


def test_what_was_judged_counts_again(store: DirStore, layout: OciLayout, operator: Operator) -> None:
    """Gate, scan and rollout are signed, each naming the record it stands for; so is the whole."""
    version = get_version(store, "tiny/1")
    assert missing_evidence(DEFAULT, Alias.PRODUCTION, open_case(store, version, operator.trust, WHEN))
    before = dict.fromkeys(store.list(""))
    upgraded = upgrade(store, layout, operator, ignore)
    assert (upgraded.versions, upgraded.left) == (2, ())
    assert len(upgraded.done) > 4
    assert before.keys() <= dict.fromkeys(store.list("")).keys()
    case = open_case(store, version, operator.trust, WHEN)
    assert missing_evidence(DEFAULT, Alias.PRODUCTION, case) == []
    about = case.found
    old, new = sorted((e for e in about if e.kind == QUALITY), key=lambda e: e.signer or "")
    assert (old.signer, new.signer) == (None, "operator")
    assert new.facts == {**old.facts, STANDS_FOR: str(old.digest)}
    assert new.verdict == old.verdict


def test_aliases_begin_their_log_where_they_were(
    store: DirStore, layout: OciLayout, operator: Operator
) -> None:
    """Nothing moves; from now on every move is signed."""
    upgrade(store, layout, operator, ignore)
    aliases = get_aliases(store, operator.trust, "tiny", "cpu")
    assert (aliases.candidate, aliases.production, aliases.previous) == (2, 2, 1)
    assert check_log(store, operator.trust, "tiny", "cpu") == []


def test_again_signs_nothing(store: DirStore, layout: OciLayout, operator: Operator) -> None:
    """An upgrade that was interrupted is ended by the next; one that was not changes nothing."""
    upgrade(store, layout, operator, ignore)
    before = {key: store.get(key) for key in store.list("")}
    assert upgrade(store, layout, operator, ignore) == Upgraded(2, (), ())
    assert {key: store.get(key) for key in store.list("")} == before


def test_verify_tells_what_is_gone_and_what_is_signed(
    store: DirStore, layout: OciLayout, operator: Operator
) -> None:
    """Without bytes an upgraded version is not whole; its record, evidence and aliases are."""
    upgrade(store, layout, operator, ignore)
    held = Holdings(store=store, trust=operator.trust, layout=layout)
    found = verify_version(held, "tiny/2", DEFAULT, WHEN)
    wrong = {f.name for f in found.findings if f.outcome != "pass"}
    assert wrong == {"source", "image", "weights", "attached"}


def test_an_untrusted_key_upgrades_nothing(store: DirStore, layout: OciLayout) -> None:
    """What it signed would not count, and the next upgrade would sign again."""
    operator = Operator(signer=KeySigner.generate(), trust=Trust(), policy=DEFAULT, who="eve", now=WHEN)
    with pytest.raises(UsageError, match="is not upgraded"):
        upgrade(store, layout, operator, ignore)
    assert not list(store.list("audit/"))


def test_a_store_of_today_needs_no_upgrade(tmp_path: Path) -> None:
    """Everything in it is signed."""
    at = tiny_home(tmp_path)
    release(at)
    operator = Operator(signer=at.signer, trust=at.trust, policy=DEFAULT, who="ada", now=WHEN)
    assert upgrade(at.store, at.layout, operator, ignore) == Upgraded(1, (), ())


def test_a_damaged_record_stops_the_upgrade(store: DirStore, layout: OciLayout, operator: Operator) -> None:
    """Nobody signs for what they cannot read."""
    key = next(store.list("evidence/"))
    store.compare_and_swap(key, store.get(key), b"{}")
    with pytest.raises(InfrastructureError, match="is damaged"):
        upgrade(store, layout, operator, ignore)


def contents(store: Store) -> dict[str, bytes | None]:
    return {key: store.get(key) for key in store.list("")}


@pytest.fixture
def leaked(tmp_path: Path) -> TinyHome:
    """A home with a release, whose key is out; another key is trusted now."""
    at = tiny_home(tmp_path / "leaked")
    release(at)
    return at


def test_nobody_vouches_for_what_a_leaked_key_signed(leaked: TinyHome, operator: Operator) -> None:
    """The key was distrusted: its release and its alias moves are left and named, and nothing is written."""
    before = contents(leaked.store)
    upgraded = upgrade(leaked.store, leaked.layout, operator, ignore)
    assert upgraded.done == ()
    version, aliases = upgraded.left
    key = leaked.signer.key_id[:12]
    assert version.startswith("left tiny/1: its ")
    assert f"it is signed by the key {key}, not trusted here" in version
    assert "`headgate keys trust` the key if it is its owner's, else release the version again" in version
    assert aliases.startswith(
        f"left the aliases of tiny on cpu: move 2 does not count: it is signed by the key {key}"
    )
    assert "sign for what is right with `headgate vouch`" in aliases
    assert contents(leaked.store) == before


def test_verify_advises_an_upgrade_for_what_was_never_signed_only(
    store: DirStore, layout: OciLayout, leaked: TinyHome, operator: Operator
) -> None:
    """What a distrusted key signed is its owner's to trust, or to be released again."""
    old = verify_version(Holdings(store=store, trust=operator.trust, layout=layout), "tiny/2", DEFAULT, WHEN)
    assert _advice(old, "headgate store upgrade") >= {"release", "quality evidence", "weights signature"}
    doubted = verify_version(replace(leaked.held, trust=operator.trust), "tiny/1", DEFAULT, WHEN)
    assert _advice(doubted, "headgate store upgrade") == set()
    assert _advice(doubted, "release the version again") >= {
        "release",
        "quality evidence",
        "weights signature",
    }


def _advice(verdict: Verdict, words: str) -> set[str]:
    return {finding.name for finding in verdict.findings if words in finding.message}


def test_released_again_it_counts_and_nothing_is_left(leaked: TinyHome, operator: Operator) -> None:
    """The advice helps: what the leaked key signed stays beside it, and is nobody's business any more."""
    version = get_version(leaked.store, "tiny/1")
    weights = load_manifest(leaked.store, version.weights_manifest)
    attest(leaked, version, weights, operator.signer)
    [aliases] = upgrade(leaked.store, leaked.layout, operator, ignore).left
    assert "the aliases of tiny on cpu" in aliases


def test_an_old_version_with_statements_of_an_untrusted_key_is_left_with_its_aliases(
    store: DirStore, layout: OciLayout, operator: Operator
) -> None:
    """Somebody has signed for it since, with a key that is distrusted now; the other version is signed."""
    version = get_version(store, "tiny/2")
    said = release_statement(version, [])
    record(store, KeySigner.generate(), said)
    upgraded = upgrade(store, layout, operator, ignore)
    assert "vouched for tiny/1 as a whole" in upgraded.done
    assert not [sentence for sentence in upgraded.done if "tiny/2" in sentence]
    left, aliases = upgraded.left
    assert left.startswith("left tiny/2: its release evidence does not count: it is signed by the key")
    assert aliases.startswith("left the aliases of tiny on cpu: they name tiny/2, which is left itself")
    assert not list(store.list("audit/"))


def test_what_was_released_half_is_not_vouched_for(leaked: TinyHome) -> None:
    """A record of today without its release statement was not finished, or tampered with."""
    operator = Operator(signer=leaked.signer, trust=leaked.trust, policy=DEFAULT, who="ada", now=WHEN)
    version = get_version(leaked.store, "tiny/1")
    for key in [*leaked.store.list(f"evidence/{version.record_digest.hex}/")]:
        leaked.store.delete(key)
    before = contents(leaked.store)
    [left] = upgrade(leaked.store, leaked.layout, operator, ignore).left
    assert "left tiny/1: it was made when releases were signed already" in left
    assert "release it again" in left
    assert contents(leaked.store) == before


def test_an_old_version_whose_files_are_not_known_is_left(
    store: DirStore, layout: OciLayout, operator: Operator
) -> None:
    """Nobody signs for weights without a list of them."""
    version = get_version(store, "tiny/1")
    store.delete(f"manifests/{version.weights_manifest.hex}.json")
    upgraded = upgrade(store, layout, operator, ignore)
    assert upgraded.done == ()
    assert [sentence.split(":")[0] for sentence in upgraded.left] == [
        "left tiny/1",
        "left tiny/2",
        "left the aliases of tiny on cpu",
    ]


def test_a_key_for_approvals_upgrades_nothing(store: DirStore, layout: OciLayout, operator: Operator) -> None:
    """What it signed would not count either."""
    key = TrustedKey("bob", operator.signer.public_pem, frozenset({APPROVAL}))
    with pytest.raises(UsageError, match="not trusted here for everything"):
        upgrade(store, layout, replace(operator, trust=Trust((key,))), ignore)
