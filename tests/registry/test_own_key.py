"""A home's own key: made once, rotated under one name, and missed when it is gone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from judging.verdict import Finding, Outcome, Verdict
from registry.alias import Alias
from registry.approval import approval
from registry.bundle import seal, unseal
from registry.counting import Case
from registry.errors import InfrastructureError, UsageError
from registry.evidence import Evidence
from registry.home import Home
from registry.key_ring import distrust_keys, load_trust, make_trusted, trust_another, trust_key
from registry.own_key import find_signer, init_key, open_signer, rotate_key
from registry.policy import Policy, Requirement, missing_evidence
from registry.predicates import APPROVAL, RELEASE
from registry.signing import KeySigner
from registry.statement import Statement
from registry.trust import Trust
from tests.simulators.history import signed
from tests.simulators.records import digest, draft

_SAID = Statement(predicate_type="urn:x", subjects={"subject": digest("x")}, predicate={})
_NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home where nothing was made yet."""
    return Home(tmp_path / "home")


def _write_key(path: Path, mode: int = 0o600, passphrase: str | None = None) -> KeySigner:
    signer = KeySigner.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(signer.to_pem(passphrase))
    path.chmod(mode)
    return signer


def _pem_of_a_key() -> str:
    return KeySigner.generate().to_pem().decode()


def _narrow(home: Home, key_id: str, kinds: frozenset[str]) -> None:
    """What a person does to change what a key may sign."""
    (key,) = distrust_keys(home, key_id)
    trust_key(home, make_trusted(key.name, key.pem, kinds))


def test_a_home_makes_its_key_when_it_is_first_needed(home: Home) -> None:
    """Trusted under the user's and the machine's name; the caller is told once."""
    told: list[str] = []
    env = {"USER": "Ada Lovelace"}
    first = open_signer(env, home, told.append)
    assert unseal(seal(_SAID, first), load_trust(home)).signer is not None
    assert load_trust(home).keys[0].name.startswith("ada-lovelace-")
    assert open_signer(env, home, told.append).key_id == first.key_id
    assert len(told) == 1
    assert "Made the signing key" in told[0]
    assert (home.keys / "signing.pem").stat().st_mode & 0o777 == 0o600


def test_processes_that_start_together_make_one_key(home: Home) -> None:
    """Else evidence of the loser would be signed by a key that is gone."""
    told: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(lambda _: open_signer({}, home, told.append), range(8)))
    assert len({signer.key_id for signer in signers}) == 1
    assert len(load_trust(home).keys) == len(told) == 1


def test_a_death_before_the_key_was_written_leaves_a_trusted_key_too_many(home: Home) -> None:
    """The next one goes on by itself, under a name of its own, and nothing it signs is doubted."""
    trust_key(home, make_trusted("ada-desk", KeySigner.generate().public_pem))  # trusted, and no further
    told: list[str] = []
    second = open_signer({}, home, told.append)
    own = load_trust(home).find(second.key_id)
    assert own
    assert own.name != "ada-desk"
    assert len(told) == 1


def test_looking_for_the_key_makes_none(home: Home) -> None:
    """A listing changes nothing."""
    assert find_signer({}, home) is None
    assert load_trust(home) == Trust()
    assert not home.keys.exists()


def test_a_key_is_made_once(home: Home) -> None:
    """Replacing it has a word of its own, and a name that is taken is not taken over."""
    with pytest.raises(UsageError, match="keys init"):
        rotate_key({}, home, None)
    trust_key(home, make_trusted("bob", KeySigner.generate().public_pem))
    with pytest.raises(UsageError, match=r"The name bob is taken.*choose another name"):
        init_key({}, home, "bob", None)
    assert init_key({}, home, "builder", None).name == "builder"
    with pytest.raises(UsageError, match="keys rotate"):
        init_key({}, home, None, None)
    assert len(load_trust(home).keys) == 2


def test_a_renamed_home_rotates_under_its_new_name(home: Home) -> None:
    """What trusted.yaml says now counts, not what it said when the key was made."""
    key = init_key({}, home, "ada-desk", None)
    distrust_keys(home, "ada-desk")
    trust_key(home, make_trusted("ci", key.pem))
    assert rotate_key({}, home, None).name == "ci"


def test_another_home_follows_a_rotation(home: Home, tmp_path: Path) -> None:
    """Its operator says that the new key is bob's, and what both sign counts as said by bob."""
    bob = Home(tmp_path / "bob")
    old = init_key({}, bob, "bob", None)
    trust_key(home, make_trusted("bob", old.pem, frozenset({"approval"})))
    new = rotate_key({}, bob, None)
    trust_another(home, "bob", new.pem)
    assert unseal(seal(_SAID, open_signer({}, bob)), load_trust(home)).signer == "bob"
    assert load_trust(home).keys[-1].kinds == {"approval"}


def test_a_rotated_home_signs_anew_under_its_old_name(home: Home) -> None:
    """Old evidence counts, the old private key is gone, and the new key may sign what the old one could."""
    old = open_signer({}, home)
    before = seal(_SAID, old)
    _narrow(home, old.key_id, frozenset({"release", "approval"}))
    key = rotate_key({}, home, None)
    after = seal(_SAID, open_signer({}, home))
    read = [unseal(bundle, load_trust(home)) for bundle in (before, after)]
    assert [said.signer for said in read] == [key.name, key.name]
    assert [said.key_id for said in read] == [old.key_id, key.key_id]
    assert {key.kinds for key in load_trust(home).keys} == {frozenset({"release", "approval"})}
    assert [path.name for path in home.keys.glob("signing.*")] == ["signing.pem"]


def test_a_rotation_does_not_make_four_eyes_of_two(home: Home) -> None:
    """Whoever released cannot approve with the next key, nor be counted twice."""
    init_key({}, home, "ada", None)
    version = draft().numbered(1)
    released = Evidence(
        kind=RELEASE,
        subject=version.record_digest,
        verdict=Verdict.of([Finding(name=RELEASE, outcome=Outcome.PASS, message="passed")]),
        facts={"at": _NOW.isoformat(), "version": "tiny/1", "policy": str(digest("policy")), "evidence": []},
    )
    yes = approval(version, at=_NOW, by="ada", why="looks fine")
    first, second = open_signer({}, home), (rotate_key({}, home, None), open_signer({}, home))[1]
    trust = load_trust(home)
    found = (signed(released, first, trust), signed(yes, first, trust), signed(yes, second, trust))
    assert [said.signer for said in found] == ["ada"] * 3
    case = Case(version, found, _NOW, trust)
    asked = Requirement(kind=APPROVAL, four_eyes=True), Requirement(kind=APPROVAL, count=2)
    for requirement, told in zip(asked, ("four eyes", "1 of 2"), strict=True):
        policy = Policy(staging=(), production=(requirement,))
        (sentence,) = missing_evidence(policy, Alias.PRODUCTION, case)
        assert told in sentence


@pytest.mark.parametrize("rotated_first", [True, False])
def test_a_leaked_key_goes_and_its_holder_stays(home: Home, rotated_first: bool) -> None:
    """Whichever is done first: rotated and then distrusted, or distrusted and then rotated."""
    leaked = init_key({}, home, "ada", None)
    _narrow(home, leaked.key_id, frozenset({"release"}))
    if rotated_first:
        rotate_key({}, home, None)
        distrust_keys(home, leaked.key_id)
    else:
        distrust_keys(home, "ada")
        rotate_key({}, home, None)
    (key,) = load_trust(home).keys
    assert (key.name, key.kinds) == ("ada", frozenset({"release"}))
    assert key.key_id == open_signer({}, home).key_id != leaked.key_id


def test_a_lost_key_is_not_replaced_in_silence(home: Home) -> None:
    """Evidence would be signed by a key that nobody else trusts: the backup is the way back."""
    key = init_key({"USER": "ada"}, home, None, None)
    private = home.keys / "signing.pem"
    kept = private.read_bytes()
    private.unlink()
    for use in (open_signer, find_signer, lambda env, at: init_key(env, at, "other", None)):
        with pytest.raises(UsageError, match=f"{key.key_id[:12]}.* is gone.*backup.*keys rotate"):
            use({}, home)
    assert load_trust(home).keys == (key,)
    private.write_bytes(kept)
    private.chmod(0o600)
    assert open_signer({}, home).key_id == key.key_id


def test_a_lost_key_is_rotated_under_its_name(home: Home) -> None:
    """When there is no backup; also when it was trusted no more."""
    key = init_key({}, home, "ada", None)
    (home.keys / "signing.pem").unlink()
    assert rotate_key({}, home, None).name == "ada"
    assert [key.name for key in load_trust(home).keys] == ["ada", "ada"]
    distrust_keys(home, "ada")
    (home.keys / "signing.pem").unlink()
    assert find_signer({"HEADGATE_SIGNING_KEY": "env:K", "K": _pem_of_a_key()}, home)
    assert rotate_key({}, home, None).name == "ada"
    assert key not in load_trust(home).keys


def test_a_home_that_trusts_others_makes_its_first_key(home: Home) -> None:
    """Trusting a colleague before the first release is no sign of a key that was lost."""
    trust_key(home, make_trusted("bob", KeySigner.generate().public_pem))
    told: list[str] = []
    open_signer({}, home, told.append)
    assert "Made the signing key" in told[0]


def test_a_key_that_a_person_put_here_is_missed_too(home: Home) -> None:
    """As in homes of an older Headgate, or restored by hand: using it once is enough."""
    signer = _write_key(home.keys / "signing.pem")
    trust_key(home, make_trusted("builder", signer.public_pem, frozenset({"release"})))
    assert open_signer({}, home).key_id == signer.key_id
    (home.keys / "signing.pem").unlink()
    with pytest.raises(UsageError, match=r"builder \(.*\), is gone"):
        open_signer({}, home)
    assert rotate_key({}, home, None).kinds == {"release"}


def test_an_old_home_rotates_without_having_signed(home: Home) -> None:
    """Its key is found among the trusted ones; one that was never trusted gets a name."""
    signer = _write_key(home.keys / "signing.pem")
    assert rotate_key({"USER": "ada"}, home, None).name.startswith("ada-")
    other = Home(home.root.parent / "other")
    signer = _write_key(other.keys / "signing.pem")
    trust_key(other, make_trusted("builder", signer.public_pem))
    assert rotate_key({}, other, None).name == "builder"


def test_keys_in_a_folder_that_cannot_be_written_sign(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounted read-only, as clusters mount secrets: there is nothing to remember."""
    signer = _write_key(home.keys / "signing.pem")
    trust_key(home, make_trusted("builder", signer.public_pem))

    def full(*_: object) -> None:
        raise InfrastructureError("read-only file system")

    monkeypatch.setattr("registry.key_ring.exclusive", full)
    assert open_signer({}, home).key_id == signer.key_id


def test_rotations_that_start_together_leave_one_signing_key(home: Home) -> None:
    """Every one of them is trusted, and the last one signs."""
    init_key({}, home, "ada", None)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: rotate_key({}, home, None), range(4)))
    assert {key.key_id for key in made} < {key.key_id for key in load_trust(home).of("ada")}
    assert open_signer({}, home).key_id == load_trust(home).keys[-1].key_id


def test_distrusting_a_key_makes_what_it_signed_doubtful(home: Home) -> None:
    """The doubt names the key by the id that the distrust told."""
    bundle = seal(_SAID, open_signer({}, home))
    (key,) = distrust_keys(home, load_trust(home).keys[0].name)
    read = unseal(bundle, load_trust(home))
    assert read.signer is None
    assert key.key_id[:12] in read.doubt
    told: list[str] = []
    open_signer({}, home, told.append)
    assert "is not trusted here" in told[0]


def test_a_passphrase_encrypts_the_homes_key(home: Home) -> None:
    """Without it, or with another, the key is not opened."""
    env = {"HEADGATE_KEY_PASSPHRASE": "correct horse"}
    signer = open_signer(env, home)
    assert b"ENCRYPTED" in (home.keys / "signing.pem").read_bytes()
    assert open_signer(env, home).key_id == signer.key_id
    with pytest.raises(UsageError, match="put it into HEADGATE_KEY_PASSPHRASE"):
        open_signer({}, home)
    with pytest.raises(UsageError, match="another passphrase"):
        open_signer({"HEADGATE_KEY_PASSPHRASE": "wrong"}, home)
