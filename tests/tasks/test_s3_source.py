"""Models from a bucket whose service fails, lies, forgets and refuses; and what its checksums are worth."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from registry.blobs import BlobStore
from registry.errors import HeadgateError, InfrastructureError, Refused, UsageError
from registry.manifest import Manifest
from tasks.download import download
from tasks.source import Listing
from tasks.sources import find_source
from tasks.transfer import PARTS
from tests.simulators.model_places import WEIGHTS, Place, in_a_bucket, model_files
from tests.simulators.s3_faults import Fault, Faults
from tests.simulators.s3_servers import BUCKET, SERVERS, S3Server, s3_server

_NUMBERS = count()
_PASSING = [fault for fault in Fault if fault.passes and fault.value[:6] not in {"silent", "late", "repeat"}]


def nothing(_message: str, _fraction: float | None) -> None:
    """Progress that nobody hears."""


@dataclass
class Trouble:
    """A model in a bucket behind a proxy that fails on purpose."""

    place: Place
    faults: Faults
    tmp: Path
    client: Any

    def listing(self) -> Listing:
        return find_source(self.place.uri, self.place.env, None).resolve("main", nothing)

    def fetch(self, listing: Listing | None = None) -> Manifest:
        source = find_source(self.place.uri, self.place.env, None)
        blobs = BlobStore(self.tmp / "blobs")
        found = listing or source.resolve("main", nothing)
        return download(source, found, self.tmp / "dest", blobs, nothing).manifest

    def meets(self, *faults: Fault, forever: bool = False) -> None:
        """The next requests for the weights' bytes meet these faults, one each."""
        left = list(faults)

        def choose(method: str, path: str) -> Fault | None:
            if method != "GET" or WEIGHTS not in path:
                return None
            return left[0] if forever else left.pop(0) if left else None

        self.faults.choose = choose


@pytest.fixture
def at(
    service: tuple[S3Server, str, Faults], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Trouble]:
    """A fresh model, and nobody waits between attempts."""
    server, proxy, faults = service
    monkeypatch.setattr("tasks.s3_bucket._PAUSES", (0.0, 0.01, 0.01))
    faults.choose = lambda _method, _path: None
    with in_a_bucket(server, f"tiny-{next(_NUMBERS)}", proxy) as place:
        for name, value in place.env.items():
            monkeypatch.setenv(name, value)
        yield Trouble(place, faults, tmp_path, server.client())


@pytest.mark.parametrize("fault", _PASSING, ids=lambda fault: fault.value)
def test_trouble_that_passes_is_got_over(at: Trouble, fault: Fault) -> None:
    """Cut, closed, busy: the file is gone on with, and is what was listed."""
    at.meets(fault)
    assert at.fetch().files[WEIGHTS].size == len(model_files()[WEIGHTS])


def test_a_connection_cut_in_the_middle_does_not_begin_again(at: Trouble) -> None:
    """The second request asks for the rest only."""
    seen: list[str] = []
    at.meets(Fault.CUT_AFTER)
    listing = at.listing()
    source = find_source(at.place.uri, at.place.env, None)
    client = source._bucket.client  # type: ignore[attr-defined]
    client.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: seen.append(params["headers"].get("Range", "all"))
    )
    download(source, listing, at.tmp / "dest", BlobStore(at.tmp / "blobs"), nothing)
    begun = [asked for asked in seen if asked != "all"]
    assert len(begun) == 1
    assert int(begun[0].removeprefix("bytes=").removesuffix("-")) > 1_000_000


def test_a_range_that_is_refused_begins_the_file_again(at: Trouble) -> None:
    """416 after a cut: what is here is given up."""
    at.meets(Fault.CUT_AFTER, Fault.NO_RANGE)
    assert WEIGHTS in at.fetch().files


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault.FORBIDDEN, UsageError, "allow s3:GetObject"),
        (Fault.EXPIRED, UsageError, "credentials"),
        (Fault.NO_BUCKET, UsageError, "create the bucket"),
        (Fault.NOT_S3, InfrastructureError, "is gone"),
        (Fault.BUSY_BEFORE, InfrastructureError, "try again"),
        (Fault.CLOSED_BEFORE, InfrastructureError, "try again"),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_trouble_that_stays_is_said(at: Trouble, fault: Fault, kind: type[HeadgateError], words: str) -> None:
    """Each in its own words, and nothing is handed out."""
    listing = at.listing()
    at.meets(fault, forever=True)
    with pytest.raises(kind) as caught:
        at.fetch(listing)
    assert words in f"{caught.value}"
    assert WEIGHTS in str(caught.value)
    assert not (at.tmp / "dest" / WEIGHTS).exists()


def test_a_bit_that_flipped_on_the_way_is_transferred_again(at: Trouble) -> None:
    """Same length, so only the checksum tells."""
    at.meets(Fault.FLIPPED)
    assert at.fetch().files[WEIGHTS].digest.hex == hashlib.sha256(model_files()[WEIGHTS]).hexdigest()


def test_bits_that_go_on_flipping_are_refused(at: Trouble) -> None:
    """After the second transfer, with both checksums."""
    at.meets(Fault.FLIPPED, forever=True)
    with pytest.raises(Refused, match="transferred twice") as caught:
        at.fetch()
    assert hashlib.md5(model_files()[WEIGHTS]).hexdigest() in str(caught.value)


def test_an_object_that_rotted_is_refused_and_leaves_no_half(at: Trouble) -> None:
    """Its sha256 is known to the service too, which is no reason to talk of its address."""
    put_with_sha256(at.client, f"{at.place.uri.rpartition('/')[2]}/{WEIGHTS}")
    listing = at.listing()
    (promised,) = (str(file.checksum) for file in listing.files if file.path == WEIGHTS)
    at.meets(Fault.FLIPPED, forever=True)
    with pytest.raises(Refused, match="transferred twice") as caught:
        at.fetch(listing)
    assert f"{WEIGHTS}: expected {promised}, found " in str(caught.value)
    assert not [half for half in (at.tmp / "dest" / PARTS).iterdir() if half.stat().st_size]


def test_a_bit_that_flipped_once_is_no_rot(at: Trouble) -> None:
    """The object is read once more in the same run."""
    put_with_sha256(at.client, f"{at.place.uri.rpartition('/')[2]}/{WEIGHTS}")
    at.meets(Fault.FLIPPED)
    assert at.fetch().files[WEIGHTS].digest.hex == hashlib.sha256(model_files()[WEIGHTS]).hexdigest()


def test_a_prefix_that_has_folders_alone_names_some(at: Trouble) -> None:
    """The bucket's name without the model's is an easy mistake."""
    name = at.place.uri.rpartition("/")[2]
    at.place.put("v1/config.json", b"{}")
    for file in at.listing().files:
        at.place.remove(file.path)
    with pytest.raises(UsageError, match="no file") as caught:
        at.listing()
    assert f"{name}/v1" in caught.value.why
    assert f"s3://{BUCKET}/{name}/v1" in caught.value.next_step


def test_an_object_that_is_replaced_after_the_listing_is_noticed(at: Trouble) -> None:
    """By its ETag, before a byte of it is taken."""
    listing = at.listing()
    at.place.put(WEIGHTS, model_files(seed=2)[WEIGHTS])
    with pytest.raises(InfrastructureError, match="it is another one now") as caught:
        at.fetch(listing)
    assert "run the same command again" in caught.value.next_step
    assert at.listing().commit != listing.commit


def test_a_pinned_commit_that_is_not_there_any_more_stops_the_release(at: Trouble) -> None:
    """The spec says what was meant; the message, what is there."""
    before = at.listing().commit
    at.place.put(WEIGHTS, model_files(seed=2)[WEIGHTS])
    with pytest.raises(UsageError, match="is not what the release is pinned to") as caught:
        find_source(at.place.uri, at.place.env, None).resolve(before, nothing)
    assert before in str(caught.value)


def test_what_else_lies_in_the_bucket_is_no_part_of_the_commit(at: Trouble) -> None:
    """A log file beside the model, and a folder below it, do not make it another one."""
    before = at.listing().commit
    at.place.put("training.log", b"loss: 0")
    at.place.put("checkpoints/model.safetensors", b"x")
    assert at.listing().commit == before


def upload_in_parts(client: Any, key: str, data: bytes, **options: Any) -> None:
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key, **options)["UploadId"]
    half = 5 << 20
    parts = []
    for number, part in enumerate((data[:half], data[half:]), 1):
        said = {"ChecksumSHA256": _sha256(part)} if options else {}
        request = {"Bucket": BUCKET, "Key": key, "UploadId": upload, "PartNumber": number}
        parts.append(
            {"PartNumber": number, "ETag": client.upload_part(**request, Body=part, **said)["ETag"], **said}
        )
    client.complete_multipart_upload(
        Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
    )


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def put_with_sha256(client: Any, key: str) -> None:
    data = model_files()[WEIGHTS]
    client.put_object(Bucket=BUCKET, Key=key, Body=data, ChecksumSHA256=_sha256(data))


def put_with_our_mark(client: Any, key: str) -> None:
    data = model_files()[WEIGHTS]
    client.put_object(
        Bucket=BUCKET, Key=key, Body=data, Metadata={"headgate-sha256": hashlib.sha256(data).hexdigest()}
    )


def put_with_a_false_mark(client: Any, key: str) -> None:
    data = model_files()[WEIGHTS]
    client.put_object(Bucket=BUCKET, Key=key, Body=data, Metadata={"headgate-sha256": "no"})


def put_plainly(client: Any, key: str) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=model_files()[WEIGHTS])


def put_in_parts(client: Any, key: str) -> None:
    upload_in_parts(client, key, bytes(6 << 20))


def put_in_parts_with_sha256(client: Any, key: str) -> None:
    upload_in_parts(client, key, bytes(6 << 20), ChecksumAlgorithm="SHA256")


@pytest.mark.parametrize("server", SERVERS)
def test_the_best_checksum_that_a_service_has_is_used(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an object in parts there is none: neither its ETag nor its sha256 is of the file."""
    ways: dict[Callable[[Any, str], None], str | None] = {
        put_with_our_mark: "sha256",
        put_with_a_false_mark: "md5",
        put_plainly: "md5",
        put_in_parts: None,
        put_in_parts_with_sha256: None,
    }
    if server != "moto":  # it keeps no checksum of what is put in one part
        ways[put_with_sha256] = "sha256"
    with ExitStack() as stack:
        running = stack.enter_context(s3_server(server, tmp_path / "data"))
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        for number, (way, algorithm) in enumerate(ways.items()):
            place = stack.enter_context(in_a_bucket(running, f"m{number}"))
            way(running.client(), f"m{number}/{WEIGHTS}")
            listing = find_source(place.uri, place.env, None).resolve("main", nothing)
            (file,) = (file for file in listing.files if file.path == WEIGHTS)
            found = file.checksum.algorithm if file.checksum else None
            assert (way.__name__, found) == (way.__name__, algorithm)
            assert file.pin
