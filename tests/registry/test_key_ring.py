"""A home's keys: made once, guarded, rotated, trusted by name, and explained when they cannot be used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.bundle import seal, unseal
from registry.errors import InfrastructureError, UsageError
from registry.home import Home
from registry.key_ring import (
    distrust_key,
    find_signer,
    init_key,
    load_trust,
    make_trusted,
    open_signer,
    rotate_key,
    trust_key,
)
from registry.predicates import KINDS
from registry.signing import KeySigner
from registry.statement import Statement
from registry.trust import Trust, TrustedKey
from registry.trust_file import read_trust, write_trust
from tests.simulators.records import digest

_SAID = Statement(predicate_type="urn:x", subjects={"subject": digest("x")}, predicate={})
_KEYS = [KeySigner.generate() for _ in range(3)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home where nothing was made yet."""
    return Home(tmp_path / "home")


def _write_key(path: Path, mode: int = 0o600, passphrase: str | None = None) -> KeySigner:
    signer = KeySigner.generate()
    path.write_bytes(signer.to_pem(passphrase))
    path.chmod(mode)
    return signer


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


def test_a_death_before_the_key_was_written_leaves_a_name_too_many(home: Home) -> None:
    """The key that is made next has a name of its own, and nothing it signs is doubted."""
    first = open_signer({"USER": "ada"}, home)
    (home.keys / "signing.pem").unlink()  # as if it had never been written: the trust was, before it
    second = open_signer({"USER": "ada"}, home)
    names = [key.name for key in load_trust(home).keys]
    assert names == [names[0], f"{names[0]}-2"]
    assert load_trust(home).find(second.key_id)
    assert first.key_id != second.key_id


def test_looking_for_the_key_makes_none(home: Home) -> None:
    """A listing changes nothing."""
    assert find_signer({}, home) is None
    assert load_trust(home) == Trust()
    assert not home.keys.exists()


def test_a_rotated_home_signs_anew_and_still_trusts_what_it_signed(home: Home) -> None:
    """The old private key is gone."""
    old = open_signer({}, home)
    before = seal(_SAID, old)
    rotate_key({}, home, None, None)
    after = seal(_SAID, open_signer({}, home))
    signers = [unseal(bundle, load_trust(home)).signer for bundle in (before, after)]
    assert None not in signers
    assert len(set(signers)) == 2
    assert [path.name for path in home.keys.glob("signing.*")] == ["signing.pem"]


def test_distrusting_a_key_makes_what_it_signed_doubtful(home: Home) -> None:
    """The doubt names the key by the id that the distrust told."""
    bundle = seal(_SAID, open_signer({}, home))
    key = distrust_key(home, load_trust(home).keys[0].name)
    read = unseal(bundle, load_trust(home))
    assert read.signer is None
    assert key.key_id[:12] in read.doubt
    told: list[str] = []
    open_signer({}, home, told.append)
    assert "is not trusted here" in told[0]


def test_a_key_from_a_file_or_the_environment_signs(home: Home, tmp_path: Path) -> None:
    """The home makes none of its own then, and says when its evidence would not count."""
    told: list[str] = []
    signer = _write_key(tmp_path / "ci.pem", passphrase="secret")
    env = {
        "HEADGATE_KEY_PASSPHRASE": "secret",
        "CI_KEY": (tmp_path / "ci.pem").read_text(),
    }
    for named in (str(tmp_path / "ci.pem"), "env:CI_KEY"):
        found = open_signer({**env, "HEADGATE_SIGNING_KEY": named}, home, told.append)
        assert found.key_id == signer.key_id
    assert len(told) == 2
    trust_key(home, make_trusted("ci", signer.public_pem))
    open_signer({**env, "HEADGATE_SIGNING_KEY": "env:CI_KEY"}, home, told.append)
    assert len(told) == 2
    assert not (home.keys / "signing.pem").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(home: Home, tmp_path: Path, mode: int) -> None:
    """As ssh refuses it."""
    _write_key(tmp_path / "k.pem", mode)
    with pytest.raises(UsageError, match=f"mode 0{mode:o}.*chmod 600"):
        open_signer({"HEADGATE_SIGNING_KEY": str(tmp_path / "k.pem")}, home)
    open_signer({}, home)
    (home.keys / "signing.pem").chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        open_signer({}, home)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("absent.pem", "no signing key at absent.pem"),
        ("env:ABSENT", "ABSENT is not set"),
        ("env:EMPTY", "EMPTY is not set"),
        ("env:GARBAGE", "not a private key"),
        ("awskm:alias/x", "did you mean 'awskms'"),
        ("https://example.org/key", "neither a file"),
        ("awskms:alias/x", "keys init --from awskms:alias/x"),
    ],
)
def test_a_key_that_cannot_be_opened_is_explained(home: Home, named: str, told: str) -> None:
    """With what to do, and never with what it holds."""
    env = {"HEADGATE_SIGNING_KEY": named, "EMPTY": "", "GARBAGE": "hunter2"}
    with pytest.raises(UsageError, match=told) as caught:
        open_signer(env, home)
    assert "hunter2" not in str(caught.value)


def test_a_folder_is_no_key(home: Home, tmp_path: Path) -> None:
    """The operating system's reason is told."""
    with pytest.raises(InfrastructureError, match="Is a directory"):
        open_signer({"HEADGATE_SIGNING_KEY": str(tmp_path)}, home)


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


def test_a_key_is_made_once(home: Home) -> None:
    """Replacing it has a word of its own."""
    with pytest.raises(UsageError, match="keys init"):
        rotate_key({}, home, None, None)
    assert init_key({}, home, "builder", None).name == "builder"
    with pytest.raises(UsageError, match="keys rotate"):
        init_key({}, home, None, None)
    with pytest.raises(UsageError, match="choose another name"):
        rotate_key({}, home, "builder", None)
    assert len(load_trust(home).keys) == 1


def test_a_key_is_trusted_under_one_name(home: Home) -> None:
    """Trusting it again is nothing new; under another name or for other kinds it is refused."""
    key = make_trusted("alice", _KEYS[0].public_pem, frozenset({"approval"}))
    trust_key(home, key)
    trust_key(home, key)
    assert load_trust(home).keys == (key,)
    with pytest.raises(UsageError, match="trusted already, as alice"):
        trust_key(home, make_trusted("bob", _KEYS[0].public_pem))
    with pytest.raises(UsageError, match="distrust alice"):
        trust_key(home, make_trusted("alice", _KEYS[0].public_pem))
    with pytest.raises(UsageError, match="Another trusted key is named alice"):
        trust_key(home, make_trusted("alice", _KEYS[1].public_pem))
    with pytest.raises(UsageError, match="did you mean 'alice'"):
        distrust_key(home, "alise")


def test_what_cannot_be_trusted_is_explained() -> None:
    """A private key, a name nobody can type, a file of something else."""
    with pytest.raises(UsageError, match="only its owner"):
        make_trusted("alice", _KEYS[0].to_pem().decode())
    with pytest.raises(UsageError, match="not a name"):
        make_trusted("Alice A.", _KEYS[0].public_pem)
    with pytest.raises(UsageError, match="not a public key"):
        make_trusted("alice", "hello")


_NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)
_TRUSTS = st.builds(
    lambda names, kinds: Trust(
        tuple(TrustedKey(n, k.public_pem, ks) for n, k, ks in zip(names, _KEYS, kinds, strict=False))
    ),
    st.lists(_NAMES, unique=True, max_size=3),
    st.lists(st.none() | st.frozensets(st.sampled_from(sorted(KINDS))), min_size=3, max_size=3),
)


@settings(deadline=None)
@given(_TRUSTS)
def test_the_file_of_trusted_keys_reads_back(tmp_path_factory: pytest.TempPathFactory, trust: Trust) -> None:
    """Also for names that YAML would take for numbers or truth values."""
    path = tmp_path_factory.mktemp("keys") / "trusted.yaml"
    write_trust(path, trust)
    assert read_trust(path) == trust


def _entry(name: str, key: KeySigner, more: str = "") -> str:
    pem = "".join(f"      {line}\n" for line in key.public_pem.splitlines())
    return f"  - name: {name}\n    public: |\n{pem}{more}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("keys:\n" + _entry("a", _KEYS[0]) + _entry("a", _KEYS[1]), "two keys are named a"),
        ("keys:\n" + _entry("a", _KEYS[0]) + _entry("b", _KEYS[0]), "a and b are the same key"),
        (
            "keys:\n" + _entry("a", _KEYS[0], "    kinds: [aproval]\n"),
            r"keys\[0\].kinds.*did you mean 'approval'",
        ),
        ("keys:\n" + _entry("a", _KEYS[0], "    kind: approval\n"), "did you mean 'kinds'"),
        ("keys:\n  - name: a\n    public: hello\n", "not a public key"),
        ("keys:\n  - name: a\n", "public: is required"),
        ("keys: {}\n", "list"),
        ("key: []\n", "did you mean 'keys'"),
        ("", "holds no keys"),
        ("keys: [\n", "not plain YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named(home: Home, text: str, told: str) -> None:
    """People edit it; nothing is trusted until it is right again."""
    home.keys.mkdir(parents=True)
    (home.keys / "trusted.yaml").write_text(text)
    with pytest.raises(UsageError, match=told):
        load_trust(home)


def test_a_file_edited_by_hand_is_read(home: Home) -> None:
    """Comments, order and an empty list of keys are a person's choice."""
    home.keys.mkdir(parents=True)
    path = home.keys / "trusted.yaml"
    path.write_text("# ours\nkeys:\n" + _entry("a", _KEYS[0], "    kinds: [approval, scan]\n"))
    (key,) = load_trust(home).keys
    assert (key.name, key.kinds) == ("a", frozenset({"approval", "scan"}))
    path.write_text("keys: []\n")
    assert load_trust(home) == Trust()
