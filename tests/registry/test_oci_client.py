"""The registry client: what it believes, what it repeats, and whom it tells a password."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.digest import Digest
from registry.errors import InfrastructureError, UsageError
from registry.oci_auth import docker_credentials
from registry.oci_client import OciClient, Repository
from tests.simulators.images import image, push_image
from tests.simulators.oci_registry import RegistrySimulator

_ME = ("me", "secret:with:colons")


@pytest.fixture
def sim() -> Iterator[RegistrySimulator]:
    """A registry that lists referrers."""
    with RegistrySimulator() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.oci_client._WAITS", (0.0, 0.0, 0.0))


@pytest.fixture
def client(sim: RegistrySimulator) -> Iterator[OciClient]:
    """A client of one of its repositories."""
    with OciClient(Repository(sim.host, "models/tiny")) as opened:
        yield opened


@pytest.mark.parametrize(
    "text",
    ["ghcr.io/acme/tiny", "localhost/x", "localhost:5000/a/b/c", "127.0.0.1:5000/a-b__c.d", "[::1]:5000/x"],
)
def test_a_repository_reads_back(text: str) -> None:
    """As people and tools write it."""
    assert str(Repository.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "tiny", "acme/tiny", "ghcr.io", "ghcr.io/", "ghcr.io/Tiny", "ghcr.io/tiny:v1", "ghcr.io//x"),
        *("https://ghcr.io/tiny", "ghcr.io/../x", "ghcr.io/tiny@sha256:" + "a" * 64, "u:p@ghcr.io/x"),
        *("ghcr.io/x?y", "ghcr.io/x\n", "ghcr.io:port/x", "ghcr.io/" + "a" * 256),
    ],
)
def test_what_is_no_repository_is_a_usage_error(text: str) -> None:
    """With an example; no surprise about which registry was meant."""
    with pytest.raises(UsageError, match=r"is not a repository of an image registry.* Next: name it like"):
        Repository.parse(text)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost:5000", "http://localhost:5000/v2/x/"),
        ("127.0.0.1", "http://127.0.0.1/v2/x/"),
        ("[::1]:5000", "http://[::1]:5000/v2/x/"),
        ("localhost.example.com", "https://localhost.example.com/v2/x/"),
        ("127.0.0.1.example.com:80", "https://127.0.0.1.example.com:80/v2/x/"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000/v2/x/"),
    ],
)
def test_only_this_machine_is_spoken_to_in_the_clear(host: str, url: str) -> None:
    """Whatever a name looks like."""
    assert str(Repository(host, "x").url) == url


def test_what_was_put_is_got(client: OciClient, sim: RegistrySimulator) -> None:
    """A manifest by digest and by tag, a blob by digest; a blob that is there is not sent again."""
    digest = push_image(client)
    for reference in (digest, "tiny"):
        found = client.get_manifest(reference)
        assert found
        assert (found[0].digest, found[0].size, found[1]) == (digest, len(image()), image())
    assert client.has_manifest(digest)
    assert client.get_blob(client.put_blob(b"small")) == b"small"
    sim.requests.clear()
    client.put_blob(b"small")
    assert [request.split()[0] for request in sim.requests] == ["HEAD"]


def test_what_is_not_there_is_none(client: OciClient) -> None:
    """Not an error: others may push it."""
    nothing = Digest.of_bytes(b"nothing")
    assert client.get_manifest("nothing") is None
    assert not client.has_manifest(nothing)
    assert client.get_blob(nothing) is None
    assert client.listed(nothing) == []


def test_a_registry_that_changed_what_it_was_given_is_not_believed(
    client: OciClient, sim: RegistrySimulator
) -> None:
    """Blobs and manifests are what their digests say, or nothing."""
    manifest, blob = push_image(client), client.put_blob(b"small")
    sim.corrupt = {manifest, blob}
    with pytest.raises(InfrastructureError, match=r"gave something wrong for manifests/.*has the digest"):
        client.get_manifest(manifest)
    with pytest.raises(InfrastructureError, match=r"gave something wrong for blobs/.*has the digest"):
        client.get_blob(blob)
    with pytest.raises(InfrastructureError, match="not a manifest"):
        client.get_manifest("tiny")


def test_an_answer_without_an_end_is_cut(client: OciClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry cannot fill our memory."""
    blob = client.put_blob(bytes(100_000))
    monkeypatch.setattr("registry.oci_client._LARGEST", 50_000)
    with pytest.raises(InfrastructureError, match="is longer than"):
        client.get_blob(blob)


@pytest.mark.parametrize("failing", [1, 3])
def test_an_overloaded_registry_is_asked_again(
    client: OciClient, sim: RegistrySimulator, failing: int
) -> None:
    """A few times."""
    sim.busy = failing
    assert push_image(client)


def test_a_registry_that_stays_overloaded_is_named(client: OciClient, sim: RegistrySimulator) -> None:
    """With what it answered."""
    sim.busy = 99
    with pytest.raises(InfrastructureError, match=r"models/tiny answered 503 to GET manifests/x.* Next: "):
        client.get_manifest("x")


@pytest.mark.parametrize("lost", [1, 2])
def test_a_write_whose_answer_was_lost_is_a_write(
    client: OciClient, sim: RegistrySimulator, lost: int
) -> None:
    """Asked again, and the same bytes are the same thing."""
    sim.mute = lost
    assert client.get_blob(client.put_blob(b"small")) == b"small"
    sim.mute = lost
    assert client.has_manifest(push_image(client))


def test_a_registry_that_is_not_there_is_named() -> None:
    """No traceback of a socket."""
    with (
        OciClient(Repository("127.0.0.1:1", "x")) as client,
        pytest.raises(InfrastructureError, match=r"The registry 127\.0\.0\.1:1 cannot be reached.* Next: "),
    ):
        client.get_manifest("x")


@pytest.mark.parametrize("bearer", [False, True])
def test_a_registry_with_a_password_gets_it(sim: RegistrySimulator, bearer: bool) -> None:
    """Directly, or as a token from the service it names; once asked, from the first request on."""
    sim.password, sim.bearer = _ME, bearer
    with OciClient(Repository(sim.host, "x"), _ME) as client:
        assert client.has_manifest(push_image(client))
    refused = [request for request in sim.requests if request.endswith(" -") and "/token" not in request]
    assert len(refused) == 1


@pytest.mark.parametrize("bearer", [False, True])
@pytest.mark.parametrize("known", [None, ("me", "wrong")])
def test_without_the_right_password_the_next_step_is_to_log_in(
    sim: RegistrySimulator, bearer: bool, known: tuple[str, str] | None
) -> None:
    """And the registry's words are shown without what would steer a terminal."""
    sim.password, sim.bearer = _ME, bearer
    with (
        OciClient(Repository(sim.host, "x"), known) as client,
        pytest.raises(UsageError, match=r"answered 401.*who\\x1b are you.* Next: run `docker login") as told,
    ):
        client.get_manifest("x")
    assert "wrong" not in str(told.value)


@pytest.mark.parametrize("realm", ["http://registry.example.com/token", "", "nonsense://x", "/token"])
def test_a_token_service_in_the_clear_gets_no_password(sim: RegistrySimulator, realm: str) -> None:
    """Nor does one that is none; nothing but an error comes of it."""
    sim.password, sim.bearer, sim.realm = _ME, True, realm
    with (
        OciClient(Repository(sim.host, "x"), _ME) as client,
        pytest.raises((InfrastructureError, UsageError)),
    ):
        client.get_manifest("x")
    assert not any("Basic" in request for request in sim.requests)


def test_an_upload_elsewhere_takes_no_password_along(sim: RegistrySimulator) -> None:
    """Some registries have uploads sent to a store; the store is not who the password is for."""
    sim.password = _ME
    with RegistrySimulator() as other, OciClient(Repository(sim.host, "x"), _ME) as client:
        sim.elsewhere = f"http://{other.host}"
        client.put_blob(b"small")
        assert [request.split()[2] for request in other.requests] == ["-"]


def test_a_long_list_is_read_to_its_end(client: OciClient, sim: RegistrySimulator) -> None:
    """Page by page."""
    subject = push_image(client)
    for number in range(5):
        value = {**json.loads(image(f"referrer {number}")), "subject": {"digest": str(subject)}}
        client.put_manifest(json.dumps(value).encode())
    sim.page = 2
    found = client.listed(subject)
    assert found is not None
    assert len({descriptor.digest for descriptor in found}) == 5


def test_a_registry_without_the_list_says_so(client: OciClient, sim: RegistrySimulator) -> None:
    """None is not an empty list."""
    sim.lists_referrers = False
    assert client.listed(Digest.of_bytes(b"x")) is None


def test_the_password_is_where_docker_keeps_it(tmp_path: Path) -> None:
    """Under the host, however docker wrote it."""
    encoded = base64.b64encode(":".join(_ME).encode()).decode()
    auths = {"https://ghcr.io/v1/": {"auth": encoded}, "127.0.0.1:5000": {"auth": encoded}, "empty.io": {}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    env = {"DOCKER_CONFIG": str(tmp_path)}
    assert docker_credentials("ghcr.io", env) == _ME
    assert docker_credentials("127.0.0.1:5000", env) == _ME
    assert docker_credentials("127.0.0.1:5001", env) is None
    assert docker_credentials("empty.io", env) is None
    assert docker_credentials("ghcr.io", {"HOME": str(tmp_path)}) is None


def test_a_credential_helper_is_named(tmp_path: Path) -> None:
    """We do not run it, and say what to do instead."""
    (tmp_path / "config.json").write_text('{"credHelpers":{"gcr.io":"gcloud"},"auths":{}}')
    with pytest.raises(UsageError, match=r"credential helper 'gcloud'.* Next: "):
        docker_credentials("gcr.io", {"DOCKER_CONFIG": str(tmp_path)})
    (tmp_path / "config.json").write_text('{"credsStore":"desktop","auths":{"ghcr.io":{}}}')
    with pytest.raises(UsageError, match="credential helper 'desktop'"):
        docker_credentials("ghcr.io", {"DOCKER_CONFIG": str(tmp_path)})


@pytest.mark.parametrize("damage", ["", "[]", '{"auths":1}', '{"auths":{"ghcr.io":{"auth":"%%%"}}}'])
def test_a_damaged_config_file_is_named(tmp_path: Path, damage: str) -> None:
    """Instead of being asked for a password that is there."""
    (tmp_path / "config.json").write_text(damage)
    with pytest.raises(UsageError, match=r"config\.json cannot be read"):
        docker_credentials("ghcr.io", {"DOCKER_CONFIG": str(tmp_path)})
