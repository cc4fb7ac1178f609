"""The key that HEADGATE_SIGNING_KEY names: opened, guarded, and explained when it cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.errors import InfrastructureError, UsageError
from registry.home import Home
from registry.key_ring import make_trusted, trust_key
from registry.own_key import open_signer
from registry.signing import KeySigner


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home where nothing was made yet."""
    return Home(tmp_path / "home")


def _write_key(path: Path, mode: int = 0o600, passphrase: str | None = None) -> KeySigner:
    signer = KeySigner.generate()
    path.write_bytes(signer.to_pem(passphrase))
    path.chmod(mode)
    return signer


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
