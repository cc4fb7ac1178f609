"""The weights store: sets of files in object storage, for machines whose own disk holds them no more.

``HEADGATE_WEIGHTS=s3://BUCKET/PREFIX``, one for a home like ``HEADGATE_STORE``. A set lies under its digest,
one object for each file, as other tools load a model from a bucket. What says that a set is whole is written
last, and read first::

    <set>/<path>          the files
    sets/<set>.json       the manifest of a set that is there whole
    sources/<key>.json    the set that a source had at a commit

A marker is also written before a set is sent, then without the manifest; it names the registries that keep
the set, so that garbage collection leaves alone what another one keeps, and no two are alike.

What comes back is compared with the manifest's digests, so nobody has to trust the bucket.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from registry.access import Access
from registry.blobs import BlobStore
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError, UsageError
from registry.identity import make_identity
from registry.manifest import Manifest
from registry.store import Store
from registry.store_address import parse_address
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Checksum
from tasks.disk import in_words
from tasks.progress import StageProgress
from tasks.s3_bucket import Bucket
from tasks.s3_upload import PART, Upload
from tasks.source import Listing, SourceFile

VARIABLE = "HEADGATE_WEIGHTS"
_ATTEMPTS = 3  # to keep a set that is being removed
_AT_A_TIME = 2  # files; the parts of each travel side by side


class WeightsStore:
    """Sets of files under a prefix of a bucket. Methods raise UsageError and InfrastructureError.

    ``registry`` is the one that they are kept for. Files of more than ``least_part`` bytes are sent in parts.
    """

    def __init__(self, bucket: Bucket, prefix: str, registry: Store, least_part: int = PART) -> None:
        self.bucket, self.root, self.registry = bucket, f"{prefix}/" if prefix else "", registry
        self._least_part = least_part

    def __repr__(self) -> str:
        return f"{self.bucket!r}/{self.root}".rstrip("/")

    def holds(self, weights: Manifest) -> bool:
        """Whether the set is there whole: its marker says so, and every file has its size."""
        if read_manifest(self.bucket.get(self.marker(weights.set_digest))) != weights:
            return False
        prefix = self.key(weights.set_digest)
        objects = self.bucket.objects(prefix, deep=True)
        sizes = {found["Key"].removeprefix(prefix): found["Size"] for found in objects}
        return all(sizes.get(path) == entry.size for path, entry in weights.files.items())

    def claim(self, weights: Manifest) -> bool:
        """Whether the set is there whole; then it is wanted from now on, which is its marker's date."""
        if not self.holds(weights):
            return False
        self._mark(weights, weights.to_json())
        return self.holds(weights)  # a removal may have begun before

    def keep(self, weights: Manifest, blobs: BlobStore, progress: StageProgress) -> None:
        """Have the set there whole, and claimed; what is there is not sent again."""
        for _ in range(_ATTEMPTS):
            if self.claim(weights):
                return
            # A marker first: from here on a removal of what is there stops.
            self._mark(weights, {})
            self._send(weights, blobs, progress)
            self._mark(weights, weights.to_json())
        raise InfrastructureError(
            f"The set {weights.set_digest.short} does not stay whole in {self!r}",
            why=f"it was sent {_ATTEMPTS} times, and something removes it",
            next_step="look whether a rule of the bucket, or somebody, removes objects there; then try again",
        )

    def remember(self, uri: str, commit: str, source: Manifest) -> None:
        """Say which kept set a source had at a commit."""
        self._put(self._source_key(uri, commit), source.to_json())

    def of_source(self, uri: str, commit: str) -> Manifest | None:
        """The set that a source had at this commit, if it is there whole."""
        found = read_manifest(self.bucket.get(self._source_key(uri, commit)))
        return found if found and self.holds(found) else None

    def pull(self, weights: Digest, path: str, out: ArrivingFile) -> None:
        """The rest of a file of a set, unchecked."""
        self.bucket.pull(self.key(weights, path), "", out)

    def key(self, weights: Digest, path: str = "") -> str:
        """Where a file of a set is; without a path, what they all begin with."""
        return f"{self.root}{weights.hex}/{path}"

    def marker(self, weights: Digest) -> str:
        """Where it is said that a set is there whole."""
        return f"{self.root}sets/{weights.hex}.json"

    def kept_by(self, weights: Digest) -> set[str]:
        """The identities of the registries that keep a set, or began to; none where that cannot be read."""
        try:
            return {*map(str, json.loads(self.bucket.get(self.marker(weights)) or b"{}").get("kept_by", ()))}
        except (ValueError, TypeError, AttributeError):
            return set()

    def _mark(self, weights: Manifest, value: Mapping[str, object]) -> None:
        kept_by = self.kept_by(weights.set_digest) | {make_identity(self.registry)}
        # The token gives each marker an ETag of its own: which it is, a removal compares.
        marker = {**value, "kept_by": sorted(kept_by), "token": secrets.token_hex(8)}
        self._put(self.marker(weights.set_digest), marker)

    def _send(self, weights: Manifest, blobs: BlobStore, progress: StageProgress) -> None:
        sent, lock = 0, threading.Lock()

        def heard(count: int) -> None:
            nonlocal sent
            with lock:
                sent += count
            progress(f"{in_words(sent)} of {in_words(weights.size)} to {self!r}", sent / max(weights.size, 1))

        uploads = [
            Upload(
                bucket=self.bucket,
                key=self.key(weights.set_digest, path),
                path=blobs.path(entry.digest),
                digest=entry.digest,
                size=entry.size,
                heard=heard,
                least_part=self._least_part,
            )
            for path, entry in weights.files.items()
        ]
        with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="keep") as pool:
            work = [pool.submit(upload.run) for upload in uploads]
            try:
                for one in work:
                    one.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _put(self, key: str, value: Mapping[str, object]) -> None:
        request = {"Key": key, "Body": canonical_json(value), "ContentType": "application/json"}
        self.bucket.ask(f"write {key}", self.bucket.client.put_object, **request)

    def _source_key(self, uri: str, commit: str) -> str:
        return f"{self.root}sources/{Digest.of_json({'uri': uri, 'commit': commit}).hex}.json"


class StoredSet:
    """A set in the weights store as a source: its files are those of a manifest that was judged before."""

    def __init__(self, store: WeightsStore, weights: Manifest) -> None:
        self._store, self._weights = store, weights

    def resolve(self, revision: str, progress: StageProgress) -> Listing:
        """The files of the manifest."""
        del progress
        files = tuple(
            SourceFile(path, entry.size, Checksum("sha256", entry.digest.hex))
            for path, entry in self._weights.files.items()
        )
        commit = str(self._weights.set_digest)
        return Listing(repr(self._store), revision, commit, files, f"{self._store!r} of {commit[:19]}")

    def pull(self, listing: Listing, file: SourceFile, out: ArrivingFile) -> None:
        """The rest of the file."""
        del listing
        self._store.pull(self._weights.set_digest, file.path, out)


def open_weights_store(access: Access) -> WeightsStore | None:
    """The weights store that HEADGATE_WEIGHTS names, or None; UsageError for what is no bucket."""
    address = access.env.get(VARIABLE)
    if not address:
        return None
    at = parse_address(address)
    if at.folder:
        raise UsageError(
            f"{VARIABLE} names the folder {address}",
            why="weights are on this machine's disk already; the weights store is for other machines",
            next_step=f"set {VARIABLE} to s3://BUCKET/PREFIX, or unset it",
        )
    return WeightsStore(Bucket(at.bucket, access.env), at.prefix, access.store)


def read_manifest(data: bytes | None) -> Manifest | None:
    """A kept manifest; None for a damaged one: then its set is sent again, or fetched elsewhere."""
    try:
        return Manifest.from_json(json.loads(data)) if data else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
