"""Keys that stay in a key service: AWS KMS over HTTP, as moto simulates it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from registry.bundle import seal, unseal
from registry.errors import InfrastructureError, UsageError
from registry.home import Home
from registry.key_ring import distrust_keys, load_trust, make_trusted, trust_another, trust_key
from registry.kms_signer import KmsSigner, read_kms_key
from registry.own_key import init_key, open_signer, rotate_key
from registry.signing import KeySigner
from registry.statement import Statement
from registry.trust import TrustedKey
from tests.simulators.kms import create_key, running_kms
from tests.simulators.records import digest

_SAID = Statement(predicate_type="urn:x", subjects={"subject": digest("x")}, predicate={})


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """One service for all tests here."""
    with running_kms() as found:
        yield found


@pytest.fixture(autouse=True)
def credentials(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What AWS's own tools read."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_a_home_signs_with_a_key_in_a_service(tmp_path: Path) -> None:
    """Taken once; from then on the home signs with it, named in the environment or not."""
    home, uri = Home(tmp_path), create_key("release")
    key = init_key({}, home, "builder", uri)
    for env in ({}, {"HEADGATE_SIGNING_KEY": uri}):
        read = unseal(seal(_SAID, open_signer(env, home)), load_trust(home))
        assert (read.signer, read.doubt, read.key_id) == ("builder", "", key.key_id)
    assert not (home.keys / "signing.pem").exists()


def test_rotating_takes_the_new_key_and_keeps_the_old_trust(tmp_path: Path) -> None:
    """From a local key to the service, and to another key there."""
    home = Home(tmp_path)
    local = seal(_SAID, open_signer({}, home))
    rotate_key({}, home, create_key("rotate-a"))
    first = seal(_SAID, open_signer({}, home))
    rotate_key({}, home, create_key("rotate-b"))
    second = seal(_SAID, open_signer({}, home))
    read = [unseal(bundle, load_trust(home)) for bundle in (local, first, second)]
    assert {said.signer for said in read} == {load_trust(home).keys[0].name}
    assert len({said.key_id for said in read}) == 3
    assert not (home.keys / "signing.pem").exists()


def test_rotating_to_a_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Else what this home signs would be said by another; a key of its own name is taken back."""
    home, uri = Home(tmp_path), create_key("shared")
    init_key({}, home, "builder", None)
    pem = read_kms_key(uri)[1]
    trust_key(home, make_trusted("bob", pem))
    with pytest.raises(UsageError, match="trusted already, as bob"):
        rotate_key({}, home, uri)
    distrust_keys(home, "bob")
    trust_another(home, "builder", pem)
    rotate_key({}, home, uri)
    assert [key.name for key in load_trust(home).keys] == ["builder", "builder"]
    assert open_signer({}, home).public_pem == pem


def test_a_key_in_a_service_that_the_home_forgot_is_missed(tmp_path: Path) -> None:
    """The file that names it is as good as the key."""
    home, uri = Home(tmp_path), create_key("forgotten")
    init_key({}, home, "builder", uri)
    (home.keys / "signing.pub").unlink()
    with pytest.raises(UsageError, match="is gone"):
        open_signer({}, home)
    assert rotate_key({}, home, uri).name == "builder"
    assert len(load_trust(home).keys) == 1


def test_an_alias_that_moved_is_noticed_at_the_first_signature(tmp_path: Path) -> None:
    """Else evidence would be signed by a key that nobody here trusts."""
    home, uri = Home(tmp_path), create_key("moved")
    init_key({}, home, "builder", uri)
    client = boto3.client("kms")
    client.delete_alias(AliasName="alias/moved")
    create_key("moved")
    with pytest.raises(UsageError, match="rotate --from"):
        open_signer({}, home).sign(b"data")


def test_a_key_the_home_does_not_know_is_not_used(tmp_path: Path) -> None:
    """The message is the command that takes it."""
    home, uri = Home(tmp_path), create_key("unknown")
    with pytest.raises(UsageError, match=f"keys init --from {uri}"):
        open_signer({"HEADGATE_SIGNING_KEY": uri}, home)
    init_key({}, home, None, create_key("known"))
    with pytest.raises(UsageError, match=f"keys rotate --from {uri}"):
        open_signer({"HEADGATE_SIGNING_KEY": uri}, home)


def test_a_key_that_cannot_sign_evidence_is_refused() -> None:
    """RSA keys, curves that verifiers disagree about, and URIs of no service."""
    with pytest.raises(UsageError, match="not an EC key"):
        read_kms_key(create_key("rsa", "RSA_2048"))
    with pytest.raises(UsageError, match="P-256"):
        read_kms_key(create_key("p384", "ECC_NIST_P384"))
    with pytest.raises(UsageError, match="awskms:"):
        read_kms_key("hv:transit/key")
    with pytest.raises(UsageError, match=r"vault\.azure\.net"):
        read_kms_key("azurekms://somewhere")


@pytest.mark.parametrize("uri", ["gcpkms:projects/p/key", "azurekms://v.vault.azure.net/keys/k"])
def test_a_service_without_its_library_says_which(uri: str) -> None:
    """Only AWS's comes with Headgate."""
    with pytest.raises(UsageError, match="Next: install that library"):
        read_kms_key(uri)


def test_a_service_that_does_not_answer_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such key, and nobody there at all."""
    with pytest.raises(InfrastructureError, match="check the key's name"):
        read_kms_key("awskms:alias/absent")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    known = TrustedKey("k", KeySigner.generate().public_pem)
    with pytest.raises(InfrastructureError, match="Could not connect"):
        KmsSigner("awskms:alias/any", known).sign(b"data")
