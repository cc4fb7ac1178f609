"""Upgrading a store: what an older Headgate recorded counts again, because somebody signs for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from registry.alias import Alias
from registry.alias_log import check_log, get_aliases
from registry.dir_store import DirStore
from registry.errors import InfrastructureError, UsageError
from registry.evidence import evidence_about
from registry.oci_layout import OciLayout
from registry.policy import DEFAULT, missing_evidence
from registry.predicates import QUALITY
from registry.publish import get_version
from registry.signing import KeySigner
from registry.store_upgrade import STANDS_FOR, Operator, upgrade
from registry.trust import Trust
from registry.verify import Holdings, verify_version
from tests.simulators.keys import signer_and_trust
from tests.simulators.released import WHEN, release, tiny_home

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
    about = evidence_about(store, version, operator.trust)
    assert missing_evidence(DEFAULT, Alias.PRODUCTION, version, about, WHEN, operator.trust)
    before = dict.fromkeys(store.list(""))
    assert len(upgrade(store, layout, operator, ignore)) > 4
    assert before.keys() <= dict.fromkeys(store.list("")).keys()
    about = evidence_about(store, version, operator.trust)
    assert missing_evidence(DEFAULT, Alias.PRODUCTION, version, about, WHEN, operator.trust) == []
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
    assert upgrade(store, layout, operator, ignore) == []
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
    assert upgrade(at.store, at.layout, operator, ignore) == []


def test_a_damaged_record_stops_the_upgrade(store: DirStore, layout: OciLayout, operator: Operator) -> None:
    """Nobody signs for what they cannot read."""
    key = next(store.list("evidence/"))
    store.compare_and_swap(key, store.get(key), b"{}")
    with pytest.raises(InfrastructureError, match="is damaged"):
        upgrade(store, layout, operator, ignore)
