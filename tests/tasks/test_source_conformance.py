"""What every source of models promises, tried on all of them: a hub, a bucket, a folder, image registries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import HeadgateError, InfrastructureError, Refused, UsageError
from registry.manifest import Manifest, ManifestEntry
from tasks.download import download
from tasks.source import Listing, Source
from tasks.sources import find_source
from tasks.transfer import part
from tests.simulators.model_places import (
    WEIGHTS,
    Place,
    in_a_bucket,
    in_a_folder,
    in_a_registry,
    model_files,
    on_a_hub,
)
from tests.simulators.s3_servers import S3Server, any_server, s3_server

KINDS = ("hub", "bucket", "folder", "image", "artifact")
_NUMBERS = count()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One service for all of them."""
    with s3_server(any_server(), tmp_path_factory.mktemp("s3") / "data") as server:
        yield server


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The model in one of the places."""
    with ExitStack() as stack:
        match request.param:
            case "hub":
                found = on_a_hub()
            case "bucket":
                found = in_a_bucket(
                    request.getfixturevalue("s3"), f"models/Tiny {next(_NUMBERS)}".replace(" ", "-")
                )
            case "folder":
                found = in_a_folder(tmp_path)
            case kind:
                found = in_a_registry(tmp_path, as_image=kind == "image")
        place = stack.enter_context(found)
        for name, value in place.env.items():
            monkeypatch.setenv(name, value)
        yield place


def nothing(_message: str, _fraction: float | None) -> None:
    """Progress that nobody hears."""


def looked_up(place: Place, revision: str = "main") -> tuple[Source, Listing]:
    source = find_source(place.uri, place.env, None)
    return source, source.resolve(revision, nothing)


def blobs(tmp: Path) -> BlobStore:
    return BlobStore(tmp / "blobs")


def fetched(place: Place, tmp: Path) -> Manifest:
    source, listing = looked_up(place)
    return download(source, listing, tmp / "dest", blobs(tmp), nothing).manifest


def expected() -> Manifest:
    return Manifest({p: ManifestEntry(Digest.of_bytes(d), len(d)) for p, d in model_files().items()})


def failure(place: Place, source: Source, listing: Listing, tmp: Path) -> HeadgateError:
    del place
    with pytest.raises(HeadgateError) as caught:
        download(source, listing, tmp / "dest", blobs(tmp), nothing)
    assert caught.value.next_step
    return caught.value


def test_the_same_files_are_the_same_manifest(place: Place, tmp_path: Path) -> None:
    """Wherever they come from; and each is a blob."""
    manifest = fetched(place, tmp_path)
    assert manifest == expected()
    assert not blobs(tmp_path).missing(manifest)


def test_the_commit_names_the_content(place: Place) -> None:
    """The same twice, of a known form, and a revision too."""
    _, listing = looked_up(place)
    assert re.fullmatch(r"[0-9a-f]{40}|sha256:[0-9a-f]{64}", listing.commit)
    assert looked_up(place)[1].commit == listing.commit
    assert looked_up(place, listing.commit)[1].commit == listing.commit


def test_a_revision_that_is_not_there_is_the_users_mistake(place: Place) -> None:
    """A branch that a hub does not have, and that other places do not know at all."""
    with pytest.raises(UsageError, match="v9"):
        looked_up(place, "v9")


def test_half_of_a_file_is_gone_on_with(place: Place, tmp_path: Path) -> None:
    """A killed download left it; the rest is enough."""
    source, listing = looked_up(place)
    half(listing, tmp_path, model_files()[WEIGHTS][:1_000_000])
    assert download(source, listing, tmp_path / "dest", blobs(tmp_path), nothing).manifest == expected()


def test_half_of_something_else_is_noticed(place: Place, tmp_path: Path) -> None:
    """The whole is compared, so the file is transferred again from its beginning."""
    source, listing = looked_up(place)
    half(listing, tmp_path, bytes(1_000_000))
    assert download(source, listing, tmp_path / "dest", blobs(tmp_path), nothing).manifest == expected()


def half(listing: Listing, tmp: Path, data: bytes) -> None:
    (file,) = (file for file in listing.files if file.path == WEIGHTS)
    (tmp / "dest" / ".parts").mkdir(parents=True)
    part(tmp / "dest", file).write_bytes(data)


def test_other_content_of_the_same_length_is_not_taken(place: Place, tmp_path: Path) -> None:
    """It came between the listing and the transfer, or on the way."""
    source, listing = looked_up(place)
    good = model_files()[WEIGHTS]
    place.put(WEIGHTS, good[:-1] + bytes([good[-1] ^ 1]))
    error = failure(place, source, listing, tmp_path)
    assert WEIGHTS in str(error)
    if isinstance(error, Refused):
        assert "transferred twice" in str(error)
        assert Digest.of_bytes(good).hex in str(error) or "with what is around it" in str(error)
    else:
        assert "changed while it was fetched" in str(error)


def test_a_file_that_goes_away_is_said(place: Place, tmp_path: Path) -> None:
    """Between the listing and the transfer."""
    source, listing = looked_up(place)
    place.remove(WEIGHTS)
    error = failure(place, source, listing, tmp_path)
    assert isinstance(error, InfrastructureError | UsageError)
    assert not (tmp_path / "dest" / WEIGHTS).exists()


def test_a_place_that_is_not_there(place: Place) -> None:
    """The user's mistake, with the address in the message."""
    elsewhere = re.sub(r"tiny|my%20model|Tiny-\d+", "nowhere", place.uri)
    with pytest.raises(UsageError, match="nowhere") as caught:
        find_source(elsewhere, place.env, None).resolve("main", nothing)
    assert caught.value.next_step


@pytest.mark.parametrize(
    "uri", ["", "tiny", "http://x/y", "s3://", "s3://UPPER/x", "oci://reg.io/x", "file://x", "oci://x"]
)
def test_what_is_no_address(uri: str) -> None:
    """The message says what one looks like."""
    with pytest.raises(UsageError) as caught:
        find_source(uri, {}, None).resolve("main", nothing)
    assert "write hf://ORG/NAME, s3://" in str(caught.value) or "host[:port]/name" in str(caught.value)
