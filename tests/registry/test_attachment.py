"""Evidence beside an image: on real registries, verified by real cosign, whoever else writes there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.attachment import Attachment, attach, attached, attachments, forget
from registry.bundle import seal
from registry.digest import Digest
from registry.dir_store import DirStore
from registry.errors import InfrastructureError, UsageError
from registry.evidence import Evidence
from registry.oci_client import OciClient, Repository
from registry.predicates import IMAGE_SIGNATURE, TEST_RESULT
from registry.referrers import fallback_tag, merged_index
from registry.signing import KeySigner
from tests.simulators.images import bundle, push_image
from tests.simulators.keys import signer_and_trust
from tests.simulators.oci_registry import RegistrySimulator
from tests.simulators.programs import need_program
from tests.simulators.registries import crane_registry, docker_registry

_NAME = "models/tiny"
_ROOT = Path(__file__).parents[2]
_ATTACH = """
import sys
from pathlib import Path
from registry.attachment import attach
from registry.digest import Digest
from registry.dir_store import DirStore
from registry.oci_client import OciClient, Repository
host, image, store, folder = sys.argv[1:]
with OciClient(Repository(host, "models/tiny")) as client:
    for file in sorted(Path(folder).iterdir()):
        attach(client, DirStore(Path(store)), folder, Digest(image), [file.read_bytes()])
"""


@pytest.fixture(params=["docker-registry", "crane", "with the API", "without the API"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Every kind of registry; the real ones have no referrers API."""
    if request.param in {"docker-registry", "crane"}:
        serve = docker_registry if request.param == "docker-registry" else crane_registry
        with serve(tmp_path) as running:
            yield running
        return
    with RegistrySimulator() as sim:
        sim.lists_referrers = request.param == "with the API"
        yield sim.host


@pytest.fixture
def client(host: str) -> Iterator[OciClient]:
    """A client of one of its repositories."""
    with OciClient(Repository(host, _NAME)) as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> DirStore:
    """An empty store."""
    return DirStore(tmp_path / "store")


@pytest.fixture
def signer() -> KeySigner:
    """A new key."""
    return signer_and_trust()[0]


def test_what_was_attached_is_found_and_again_is_nothing_new(
    client: OciClient, store: DirStore, signer: KeySigner
) -> None:
    """More evidence later stands beside the first."""
    image = push_image(client)
    first, second = bundle(signer, image), bundle(signer, image, "scan")
    assert missing(client, image, [first]) == [Digest.of_bytes(first)]
    assert len(attach(client, store, "me", image, [first]).new) == 1
    assert attach(client, store, "me", image, [first]).new == ()
    again = attach(client, store, "me", image, [first, second])
    assert (len(again.new), len(again.all)) == (1, 2)
    assert attached(client, image) == {Digest.of_bytes(data): data for data in (first, second)}
    assert missing(client, image, [first, second]) == []
    assert attachments(store) == [Attachment(image, client.repository)]


def missing(client: OciClient, image: Digest, bundles: list[bytes]) -> list[Digest]:
    """Which of these are not attached."""
    there = attached(client, image)
    return [digest for data in bundles if (digest := Digest.of_bytes(data)) not in there]


def test_a_place_is_forgotten_and_what_is_attached_stays(
    client: OciClient, store: DirStore, signer: KeySigner
) -> None:
    """Attaching again remembers it again."""
    image = push_image(client)
    said = [bundle(signer, image)]
    attach(client, store, "me", image, said)
    assert forget(store, image, client.repository)
    assert not forget(store, image, client.repository)
    assert attachments(store) == []
    assert len(attached(client, image)) == 1
    assert attach(client, store, "me", image, said).new == ()
    assert attachments(store) == [Attachment(image, client.repository)]


def test_an_image_that_is_not_there_is_a_usage_error(
    client: OciClient, store: DirStore, signer: KeySigner
) -> None:
    """Nothing is attached to what nobody pushed, and nothing remembered."""
    image = Digest.of_bytes(b"elsewhere")
    with pytest.raises(UsageError, match=r"is not in .*models/tiny.* Next: push the image there first"):
        attach(client, store, "me", image, [bundle(signer, image)])
    assert list(store.list("")) == []


def test_unsigned_records_are_left_out(client: OciClient, store: DirStore) -> None:
    """They are what an older Headgate wrote."""
    image = push_image(client)
    assert attach(client, store, "me", image, [b'{"kind":"quality"}']).all == ()
    assert list(store.list("")) == []


@pytest.mark.parametrize("host", ["docker-registry"], indirect=True)
def test_processes_that_attach_at_once_lose_nothing(
    client: OciClient, store: DirStore, signer: KeySigner, tmp_path: Path
) -> None:
    """The fallback tag has no compare-and-swap; the lease makes them take turns."""
    image = push_image(client)
    for process in range(4):
        folder = tmp_path / f"process-{process}"
        folder.mkdir()
        for number in range(5):
            (folder / str(number)).write_bytes(bundle(signer, image, number=process * 5 + number))
    arguments = [client.repository.host, image.hex, str(tmp_path / "store")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _ATTACH, *arguments, str(tmp_path / f"process-{n}")], cwd=_ROOT
        )
        for n in range(4)
    ]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert len(attached(client, image)) == 20


@pytest.mark.parametrize("host", ["docker-registry", "crane"], indirect=True)
def test_what_another_tools_update_wrote_over_is_mended(
    client: OciClient, store: DirStore, signer: KeySigner
) -> None:
    """Its entry stays, and ours come back."""
    image = push_image(client)
    bundles = [bundle(signer, image, number=n) for n in range(3)]
    attach(client, store, "me", image, bundles)
    other = push_image(client, "other")
    found = client.get_manifest(other)
    assert found
    client.put_manifest(merged_index(None, [found[0]]), fallback_tag(image))
    assert len(missing(client, image, bundles)) == 3
    assert len(attach(client, store, "me", image, bundles).new) == 3
    assert missing(client, image, bundles) == []
    listed = client.get_manifest(fallback_tag(image))
    assert listed
    assert other.hex in listed[1].decode()


def test_a_tag_that_is_lost_once_is_written_again(store: DirStore, signer: KeySigner) -> None:
    """What was written is read back, and a registry that keeps nothing is named."""
    with RegistrySimulator() as sim, OciClient(Repository(sim.host, _NAME)) as client:
        sim.lists_referrers = False
        image = push_image(client)
        sim.forgets = 2
        attach(client, store, "me", image, [bundle(signer, image)])
        assert missing(client, image, [bundle(signer, image)]) != []  # another signature is another bundle
        assert len(attached(client, image)) == 1
        sim.forgets = 99
        with pytest.raises(InfrastructureError, match="does not list what was attached"):
            attach(client, store, "me", image, [bundle(signer, image, number=1)])


def test_a_tag_of_something_else_is_not_written_over(store: DirStore, signer: KeySigner) -> None:
    """It is named instead."""
    with RegistrySimulator() as sim, OciClient(Repository(sim.host, _NAME)) as client:
        sim.lists_referrers = False
        image = push_image(client)
        found = client.get_manifest(image)
        assert found
        client.put_manifest(found[1], fallback_tag(image))
        with pytest.raises(InfrastructureError, match=r"is no list of referrers.* Next: find out"):
            attach(client, store, "me", image, [bundle(signer, image)])


def test_a_manifest_that_was_collected_is_pushed_again(store: DirStore, signer: KeySigner) -> None:
    """A list may outlive what it lists."""
    with RegistrySimulator() as sim, OciClient(Repository(sim.host, _NAME)) as client:
        sim.lists_referrers = False
        image = push_image(client)
        data = bundle(signer, image)
        (digest,) = attach(client, store, "me", image, [data]).all
        del sim.kept[_NAME, "manifests", str(digest)]
        assert missing(client, image, [data]) == [Digest.of_bytes(data)]
        assert attach(client, store, "me", image, [data]).new == (digest,)
        assert missing(client, image, [data]) == []


def test_a_damaged_note_of_where_evidence_was_attached_is_named(store: DirStore) -> None:
    """With its key."""
    store.put_if_absent("attachments/aa/bb.json", b'{"format":1,"image":"sha256:00","repository":"x"}')
    with pytest.raises(InfrastructureError, match=r"attachments/aa/bb\.json is damaged"):
        attachments(store)


@pytest.mark.parametrize("host", ["docker-registry", "crane", "with the API"], indirect=True)
def test_cosign_verifies_what_we_attach(
    client: OciClient, store: DirStore, signer: KeySigner, tmp_path: Path
) -> None:
    """The image's signature and the evidence about it, with our key and not with another, on any registry."""
    image = push_image(client)
    signature = seal(Evidence(kind=IMAGE_SIGNATURE, subject=image).statement, signer)
    unrelated = seal(Evidence(kind="load", subject=Digest.of_bytes(b"release")).statement, signer)
    attach(client, store, "me", image, [signature, bundle(signer, image), unrelated])
    (tmp_path / "ours.pub").write_text(signer.public_pem)
    (tmp_path / "theirs.pub").write_text(signer_and_trust()[0].public_pem)
    verify = ["verify-attestation", "--type", TEST_RESULT]
    told = _cosign(client, image, tmp_path / "ours.pub", *verify)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["payloadType"] == "application/vnd.in-toto+json"
    assert _cosign(client, image, tmp_path / "ours.pub", "verify").returncode == 0
    assert _cosign(client, image, tmp_path / "theirs.pub", *verify).returncode != 0
    assert _cosign(client, image, tmp_path / "theirs.pub", "verify").returncode != 0
    vulns = ["verify-attestation", "--type", "https://in-toto.io/attestation/vulns/v0.2"]
    assert "none of the attestations matched" in _cosign(client, image, tmp_path / "ours.pub", *vulns).stderr


@pytest.mark.parametrize("host", ["docker-registry", "crane"], indirect=True)
def test_an_image_that_crane_pushed_takes_evidence(
    client: OciClient, store: DirStore, signer: KeySigner, tmp_path: Path
) -> None:
    """And what cosign attached to it in its own way stays beside ours."""
    reference = f"{client.repository}:pushed"
    (tmp_path / "layer.tar").write_bytes(bytes(10240))
    crane = [str(need_program("crane")), "append", "--oci-empty-base", "-f", str(tmp_path / "layer.tar")]
    pushed = subprocess.run([*crane, "-t", reference], capture_output=True, text=True, check=True)
    image = Digest.parse(pushed.stdout.strip().rpartition("@")[2])
    _sign_with_cosign(reference.replace(":pushed", f"@{image}"), signer, tmp_path)
    theirs = attached(client, image)
    assert len(theirs) == 1
    attach(client, store, "me", image, [bundle(signer, image)])
    assert theirs.items() < attached(client, image).items()
    (tmp_path / "ours.pub").write_text(signer.public_pem)
    assert _cosign(client, image, tmp_path / "ours.pub", "verify-attestation", "--type", TEST_RESULT).stdout


def _cosign(client: OciClient, image: Digest, key: Path, *command: str) -> subprocess.CompletedProcess[str]:
    options = ["--key", str(key), "--insecure-ignore-tlog=true", "--allow-http-registry"]
    return _run(key.parent, [*command, *options, f"{client.repository}@{image}"])


def _sign_with_cosign(reference: str, signer: KeySigner, folder: Path) -> None:
    (folder / "key.pem").write_bytes(signer.to_pem())
    imported = _run(folder, ["import-key-pair", "--key", "key.pem", "--output-key-prefix", "cosign"])
    assert imported.returncode == 0, imported.stderr
    options = ["--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry", "--yes"]
    signed = _run(folder, ["sign", "--key", "cosign.key", *options, reference])
    assert signed.returncode == 0, signed.stderr


def _run(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HOME": str(folder), "COSIGN_PASSWORD": ""}
    command = [str(need_program("cosign")), *arguments]
    return subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
