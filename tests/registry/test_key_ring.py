"""The keys a home trusts: by holder, added and taken away on purpose, in a file that people may edit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import UsageError
from registry.home import Home
from registry.key_ring import (
    distrust_keys,
    find_keys,
    load_trust,
    make_trusted,
    trust_another,
    trust_key,
)
from registry.predicates import KINDS
from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey
from registry.trust_file import read_trust, write_trust

_KEYS = [KeySigner.generate() for _ in range(3)]
_APPROVALS = frozenset({"approval"})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home where nothing was made yet."""
    return Home(tmp_path / "home")


def _pem(number: int) -> str:
    return _KEYS[number].public_pem


def test_a_key_is_trusted_under_one_name(home: Home) -> None:
    """Trusting it again is nothing new; under another name or for other kinds it is refused."""
    key = make_trusted("alice", _pem(0), _APPROVALS)
    trust_key(home, key)
    trust_key(home, key)
    assert load_trust(home).keys == (key,)
    with pytest.raises(UsageError, match="trusted already, as alice"):
        trust_key(home, make_trusted("bob", _pem(0)))
    with pytest.raises(UsageError, match=f"distrust {key.key_id[:12]}"):
        trust_key(home, make_trusted("alice", _pem(0)))


def test_a_second_key_joins_a_name_on_purpose_only(home: Home) -> None:
    """A typo must not let a stranger sign as alice; what alice may sign is what her next key may sign."""
    trust_key(home, make_trusted("alice", _pem(0), _APPROVALS))
    with pytest.raises(UsageError, match=r"The name alice is taken.*--another"):
        trust_key(home, make_trusted("alice", _pem(1)))
    with pytest.raises(UsageError, match="did you mean 'alice'"):
        trust_another(home, "alise", _pem(1))
    assert len(load_trust(home).keys) == 1
    second = trust_another(home, "alice", _pem(1))
    assert second == trust_another(home, "alice", _pem(1))
    assert load_trust(home).of("alice") == (make_trusted("alice", _pem(0), _APPROVALS), second)
    assert second.kinds == _APPROVALS
    trust_key(home, make_trusted("bob", _pem(2)))
    with pytest.raises(UsageError, match="trusted already, as bob"):
        trust_another(home, "alice", _pem(2))


def test_rights_that_differ_are_not_guessed(home: Home) -> None:
    """When a holder's keys may sign different things, the next one's have to be said."""
    trust_key(home, make_trusted("alice", _pem(0)))
    assert trust_another(home, "alice", _pem(1), _APPROVALS).kinds == _APPROVALS
    with pytest.raises(UsageError, match=r"different kinds of evidence.*--for"):
        trust_another(home, "alice", _pem(2))
    assert trust_another(home, "alice", _pem(2), frozenset({"scan"})).kinds == {"scan"}


def test_keys_go_by_name_together_and_by_id_alone(home: Home) -> None:
    """Eight digits tell keys apart; fewer may be a word."""
    first = make_trusted("alice", _pem(0))
    trust_key(home, first)
    second, third = trust_another(home, "alice", _pem(1)), make_trusted("bob", _pem(2))
    trust_key(home, third)
    assert distrust_keys(home, second.key_id[:8]) == (second,)
    assert load_trust(home).keys == (first, third)
    trust_another(home, "alice", _pem(1))
    assert distrust_keys(home, "alice") == (first, second)
    assert load_trust(home).keys == (third,)
    for word, told in [("bbo", "did you mean 'bob'"), (third.key_id[:7], "8 digits of an id are enough")]:
        with pytest.raises(UsageError, match=told):
            distrust_keys(home, word)
    assert load_trust(home).keys == (third,)


def test_an_id_that_begins_several_keys_is_refused() -> None:
    """Which of them was meant would be a guess."""
    keys = []
    for name, key in zip(("alice", "bob"), _KEYS, strict=False):
        trusted = TrustedKey(name, key.public_pem)
        trusted.__dict__["key_id"] = "0123456789" + name  # two real ones would take minutes to find
        keys.append(trusted)
    trust = Trust(tuple(keys))
    with pytest.raises(UsageError, match="2 keys begin with 01234567"):
        find_keys(trust, "01234567")
    assert find_keys(trust, "0123456789b") == (keys[1],)


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
    st.lists(_NAMES, max_size=3),
    st.lists(st.none() | st.frozensets(st.sampled_from(sorted(KINDS))), min_size=3, max_size=3),
)


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
        ("keys:\n" + _entry("a", _KEYS[0]) + _entry("a", _KEYS[0]), "a key is listed twice"),
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
