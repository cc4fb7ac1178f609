"""The weights store: sets of files in object storage, for machines whose own disk holds them no more.

``HEADGATE_WEIGHTS=s3://BUCKET/PREFIX``, one for a home like ``HEADGATE_STORE``. A set lies under its digest,
one object for each file, as other tools load a model from a bucket. What says that a set is whole is written
last, and read first::

    <set>/<path>          the files
    sets/<set>.json       the manifest of a set that is there whole
    sources/<key>.json    the set that a source had at a commit

What comes back is compared with the manifest's digests, so nobody has to trust the bucket.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from registry.blobs import BlobStore
from registry.digest import Digest, canonical_json
from registry.errors import UsageError
from registry.manifest import Manifest
from registry.store_address import parse_address
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Checksum
from tasks.disk import in_words
from tasks.progress import StageProgress
from tasks.s3_bucket import Bucket
from tasks.s3_upload import PART, Upload
from tasks.source import Listing, SourceFile

VARIABLE = "HEADGATE_WEIGHTS"
_AT_A_TIME = 2  # files; the parts of each travel side by side


class WeightsStore:
    """Sets of files under a prefix of a bucket. Methods raise UsageError and InfrastructureError.

    Files of more than ``least_part`` bytes are sent in parts.
    """

    def __init__(self, bucket: Bucket, prefix: str, least_part: int = PART) -> None:
        self.bucket, self.root, self._least_part = bucket, f"{prefix}/" if prefix else "", least_part

    def __repr__(self) -> str:
        return f"{self.bucket!r}/{self.root}".rstrip("/")

    def holds(self, weights: Manifest) -> bool:
        """Whether the set is there whole."""
        return _manifest(self.bucket.get(self.marker(weights.set_digest))) == weights

    def keep(self, weights: Manifest, blobs: BlobStore, progress: StageProgress) -> None:
        """Have the set there whole; what is there is not sent again. The marker's date is the last call's."""
        if not self.holds(weights):
            self._send(weights, blobs, progress)
        self._put(self.marker(weights.set_digest), weights.to_json())

    def remember(self, uri: str, commit: str, source: Manifest) -> None:
        """Say which kept set a source had at a commit."""
        self._put(self._source_key(uri, commit), source.to_json())

    def of_source(self, uri: str, commit: str) -> Manifest | None:
        """The set that a source had at this commit, if it is there whole."""
        found = _manifest(self.bucket.get(self._source_key(uri, commit)))
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


def open_weights_store(env: Mapping[str, str]) -> WeightsStore | None:
    """The weights store that HEADGATE_WEIGHTS names, or None; UsageError for what is no bucket."""
    address = env.get(VARIABLE)
    if not address:
        return None
    at = parse_address(address)
    if at.folder:
        raise UsageError(
            f"{VARIABLE} names the folder {address}",
            why="weights are on this machine's disk already; the weights store is for other machines",
            next_step=f"set {VARIABLE} to s3://BUCKET/PREFIX, or unset it",
        )
    return WeightsStore(Bucket(at.bucket, env), at.prefix)


def _manifest(data: bytes | None) -> Manifest | None:
    """A kept manifest; None for a damaged one: then its set is sent again, or fetched elsewhere."""
    try:
        return Manifest.from_json(json.loads(data)) if data else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
