"""``headgate attach``: evidence from the store to the image, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import main
from registry.digest import Digest
from registry.dir_store import DirStore
from registry.evidence import Evidence, list_bundles, record
from registry.home import Home
from registry.oci_client import OciClient, Repository
from registry.publish import publish
from tests.simulators.images import image, push_image
from tests.simulators.keys import signer_and_trust
from tests.simulators.oci_registry import RegistrySimulator
from tests.simulators.records import draft

_IMAGE = Digest.of_bytes(image())


@pytest.fixture
def sim() -> Iterator[RegistrySimulator]:
    """A registry."""
    with RegistrySimulator() as running:
        yield running


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirStore:
    """A home with one version: two pieces of evidence, and a third from before they were signed."""
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.delenv("HEADGATE_STORE", raising=False)
    opened = DirStore(Home(tmp_path).store)
    version = publish(opened, draft(image=_IMAGE))
    signer, _ = signer_and_trust()
    record(opened, signer, Evidence(kind="image-signature", subject=_IMAGE))
    also = {"image": _IMAGE}
    record(opened, signer, Evidence(kind="rollout", subject=version.release_digest, also=also))
    old = {"kind": "quality", "subject": str(version.release_digest), "verdict": None, "facts": {}}
    data = json.dumps(old).encode()
    opened.put_if_absent(f"evidence/{version.release_digest.hex}/{Digest.of_bytes(data).hex}.json", data)
    return opened


def test_all_signed_evidence_is_attached(
    sim: RegistrySimulator, store: DirStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """And again attaches nothing."""
    place = Repository(sim.host, "models/tiny")
    with OciClient(place) as client:
        push_image(client)
        assert main(["attach", "tiny/1", str(place), "--json"]) == 0
        listed = client.listed(_IMAGE)
    assert listed is not None
    assert len(listed) == 2
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "version": "tiny/1",
        "image": f"{place}@{_IMAGE}",
        "attached": 2,
        "already_there": 0,
        "left_out_unsigned": 1,
        "ok": True,
    }
    assert main(["attach", "tiny/1", str(place)]) == 0
    assert "already there" in capsys.readouterr().out
    assert len(list_bundles(store, _IMAGE)) == 1


def test_an_image_that_was_not_pushed_is_a_usage_error(
    sim: RegistrySimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to do first."""
    assert main(["attach", "tiny/1", f"{sim.host}/models/tiny"]) == 2
    assert "push the image there first" in capsys.readouterr().err


@pytest.mark.parametrize(("version", "place"), [("tiny/9", "127.0.0.1:1/x"), ("tiny/1", "tiny:v1")])
def test_a_mistyped_argument_is_a_usage_error(
    version: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is asked of a registry."""
    assert main(["attach", version, place]) == 2
    told = capsys.readouterr().err
    assert "Next:" in told
    assert "Traceback" not in told


def test_an_attachment_is_forgotten(
    sim: RegistrySimulator, store: DirStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in the registry stays, and the command says so; a place that was none is a mistake."""
    place = Repository(sim.host, "models/tiny")
    with OciClient(place) as client:
        push_image(client)
        assert main(["attach", "tiny/1", str(place)]) == 0
        assert main(["detach", "tiny/1", f"{sim.host}/models/other"]) == 2
        assert f"attached in {place}" in " ".join(capsys.readouterr().err.split())
        assert main(["detach", "tiny/1", str(place)]) == 0
        assert "What is attached there stays" in capsys.readouterr().err
        assert len(client.listed(_IMAGE) or []) == 2
    assert list(store.list("attachments/")) == []
    assert main(["detach", "tiny/1", str(place), "--json"]) == 2


def test_a_registry_that_does_not_answer_is_infrastructure(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 40, and no trace of an attachment."""
    assert main(["attach", "tiny/1", "127.0.0.1:1/models/tiny", "--json"]) == 40
    assert json.loads(capsys.readouterr().out)["exit_code"] == 40
