"""A source whose files come from the weights store where it has them: nearer, and there when a hub is not.

Which of the two a file came from makes no difference to what is accepted: it is what the source listed.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field

from registry.blobs import BlobStore
from registry.errors import HeadgateError
from registry.manifest import Manifest
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Damaged
from tasks.progress import StageProgress
from tasks.source import Listing, Source, SourceFile
from tasks.source_address import scheme_of
from tasks.weights_store import WeightsStore

LOCAL, STORE, SOURCE = "this machine", "the weights store", "the source"


@dataclass
class TieredSource:
    """``source``, with ``store`` before it when there is one. Counts the bytes that came from each."""

    source: Source
    store: WeightsStore | None
    progress: StageProgress
    _kept: Manifest | None = None
    _asked: set[str] = field(default_factory=set)
    _came: dict[str, dict[str, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def resolve(self, revision: str, progress: StageProgress) -> Listing:
        """What the source has now; the store is asked which of it is kept."""
        listing = self.source.resolve(revision, progress)
        if self.store:
            try:
                self._kept = self.store.of_source(listing.uri, listing.commit)
            except HeadgateError as problem:
                self.progress(f"{self.store!r} is passed over: {problem}", None)
        return listing

    def pull(self, listing: Listing, file: SourceFile, out: ArrivingFile) -> None:
        """The rest of the file: from the store at the first attempt, if it says it has this very file."""
        if self.store and self._kept and self._first_time(file) and _has(self._kept, file):
            try:
                with _Counted(self, STORE, file, out):
                    if self._came_whole(self.store, self._kept, file, out):
                        return
                    out.restart()
                self.progress(f"{file.path} is damaged in {self.store!r}; the source has it", None)
            except HeadgateError as problem:
                self.progress(f"{file.path} is not taken from {self.store!r}: {problem}", None)
        with _Counted(self, SOURCE, file, out):
            self.source.pull(listing, file, out)

    def _came_whole(self, store: WeightsStore, kept: Manifest, file: SourceFile, out: ArrivingFile) -> bool:
        with suppress(Damaged):
            store.pull(kept.set_digest, file.path, out)
        return out.hashes.sha256 == kept.files[file.path].digest.hex

    def keep(self, listing: Listing, files: Manifest, blobs: BlobStore) -> None:
        """Have what a distant source gave in the store for the next machine; a bucket or a folder is near.

        A store that is away is passed over with a word: the model is here.
        """
        if self.store and scheme_of(listing.uri) in {"hf", "oci"}:
            try:
                self.store.keep(files, blobs, self.progress)
                self.store.remember(listing.uri, listing.commit, files)
            except HeadgateError as problem:
                self.progress(f"{listing.where} is not kept in {self.store!r}: {problem}", None)

    def places(self, files: Manifest) -> dict[str, int]:
        """How many of the files' bytes came from where."""
        came = [self._came.get(path, {}) for path in files.files]
        there, origin = (sum(one.get(place, 0) for one in came) for place in (STORE, SOURCE))
        return {LOCAL: files.size - there - origin, STORE: there, SOURCE: origin}

    def count(self, path: str, place: str, before: int, now: int) -> None:
        """A file of ``before`` bytes has so many ``now``, the difference from this place.

        Of one that is empty, or was, whatever came earlier was given up.
        """
        with self._lock:
            came = self._came.get(path, {}) if before and now else {}
            self._came[path] = came | {place: came.get(place, 0) + max(now - before, 0)}

    def _first_time(self, file: SourceFile) -> bool:
        with self._lock:
            first = file.path not in self._asked
            self._asked.add(file.path)
        return first


class _Counted:
    """Counts the bytes a block adds to a file, however it ends."""

    def __init__(self, source: TieredSource, place: str, file: SourceFile, out: ArrivingFile) -> None:
        self._source, self._place, self._path, self._out = source, place, file.path, out

    def __enter__(self) -> None:
        self._before = self._out.tell()

    def __exit__(self, *_: object) -> None:
        self._source.count(self._path, self._place, self._before, self._out.tell())


def _has(kept: Manifest, file: SourceFile) -> bool:
    entry = kept.files.get(file.path)
    if entry is None or entry.size != file.size:
        return False
    plain = file.checksum is not None and file.checksum.is_plain_sha256
    return not plain or (file.checksum is not None and file.checksum.value == entry.digest.hex)
