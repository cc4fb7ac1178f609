"""Files on their way: each pulled, hashed as it arrives, and compared with the listing.

They become blobs when whoever takes them has judged them, so that what is refused leaves nothing. What is on
this machine already is hashed instead of transferred, and fetched again when it was changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from registry.atomic import explained
from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import Refused
from registry.manifest import ManifestEntry
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Damaged, Hashes, TooLong, hashes_of
from tasks.disk import in_words
from tasks.progress import StageProgress
from tasks.source import Listing, Source, SourceFile

PARTS = ".parts"
"""The folder, inside that of a download, of files that are not whole yet."""

_WORKERS = 4
_POLL = 0.3  # seconds between two looks at how far the download is
_STOP = 5.0  # seconds a transfer gets to notice that it was stopped
_TRANSFERS = 2  # of a file that is not what was listed


@dataclass(frozen=True)
class Mismatch:
    """A file that is not what was listed."""

    path: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, found {self.actual}"


class _Stopped(Exception):
    """The download was asked to stop."""


class Transfer:
    """Files on their way into ``dest``, and from there into the blobs: ``at_once``, or when told to ``keep``.

    A context manager that stops what its block leaves.
    """

    def __init__(
        self,
        source: Source,
        listing: Listing,
        dest: Path,
        blobs: BlobStore,
        total: int,
        progress: StageProgress,
        *,
        at_once: bool = False,
    ) -> None:
        self._at_once = at_once
        self._source, self._listing, self._dest, self._blobs = source, listing, dest, blobs
        self._total, self._progress = total, progress
        self._done, self._lock = 0, threading.Lock()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="fetch")
        self._work: list[Future[ManifestEntry | Mismatch]] = []

    def __enter__(self) -> Transfer:
        with explained(self._dest):
            (self._dest / PARTS).mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(self._work, _STOP)

    def take(self, files: Sequence[SourceFile]) -> dict[str, ManifestEntry]:
        """The entries of these files; raises Refused for those that are not what was listed."""
        self._work = [self._pool.submit(self._one, file) for file in files]
        started, before = time.monotonic(), self._done
        while (state := wait(self._work, _POLL, FIRST_EXCEPTION)).not_done:
            self._entries(state.done)
            self._tell((self._done - before) / (time.monotonic() - started))
        return dict(zip((file.path for file in files), self._entries(self._work), strict=True))

    def keep(self, files: Mapping[str, ManifestEntry]) -> None:
        """Make files that were taken blobs."""
        work = [self._pool.submit(self._keep, path, entry) for path, entry in files.items()]
        for one in work:
            one.result()

    def _keep(self, path: str, entry: ManifestEntry) -> None:
        self._blobs.add_file(self._dest / path, entry.digest)

    def _entries(self, done: Iterable[Future[ManifestEntry | Mismatch]]) -> list[ManifestEntry]:
        """What these came to; raises what they raised, and Refused for those that are not what was listed."""
        results = [work.result() for work in done]
        if bad := [result for result in results if isinstance(result, Mismatch)]:
            raise _refused(bad, self._listing.where)
        return [result for result in results if isinstance(result, ManifestEntry)]

    def _tell(self, speed: float) -> None:
        done, total = in_words(self._done), in_words(self._total)
        words = f"{done} of {total}, {in_words(round(max(speed, 0)))}/s"
        self._progress(words, self._done / max(self._total, 1))

    def _heard(self, count: int) -> None:
        if self._stopped.is_set():
            raise _Stopped
        with self._lock:
            self._done += count

    def _one(self, file: SourceFile) -> ManifestEntry | Mismatch:
        found = self._taken(file)
        if self._at_once and isinstance(found, ManifestEntry):
            self._keep(file.path, found)
        return found

    def _taken(self, file: SourceFile) -> ManifestEntry | Mismatch:
        target = self._dest / file.path
        half = part(self._dest, file)
        with explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if here := self._here(file, target):
                return here
            for _ in range(_TRANSFERS - 1):
                if isinstance(pulled := self._pulled(file, half, target), ManifestEntry):
                    return pulled
                self._progress(f"{pulled}; transferring it again", None)
            return self._pulled(file, half, target)

    def _here(self, file: SourceFile, target: Path) -> ManifestEntry | None:
        """The file as an earlier download or another model left it, if it is what was listed."""
        for path in filter(Path.is_file, _places(file, target, self._blobs)):
            found = self._looked_at(path, file)
            if isinstance(found, ManifestEntry):
                if path != target:
                    self._blobs.link(found.digest, target)
                return found
            self._progress(f"{file.path} was changed on this disk, and is fetched again", None)
            path.unlink()
        return None

    def _looked_at(self, path: Path, file: SourceFile) -> ManifestEntry | Mismatch:
        read = 0

        def heard(count: int) -> None:
            nonlocal read
            self._heard(count)
            read += count

        try:
            found = judged(hashes_of(path, file.size, file.checksum, heard), file)
        except TooLong:
            found = _too_long(file)
        if isinstance(found, Mismatch):
            self._heard(-read)
        return found

    def _pulled(self, file: SourceFile, half: Path, target: Path) -> ManifestEntry | Mismatch:
        with ArrivingFile(half, file.size, file.checksum, self._heard) as arriving:
            try:
                if arriving.tell() < file.size or not file.size:
                    self._source.pull(self._listing, file, arriving)
                found = judged(arriving.hashes, file)
            except TooLong:
                found = _too_long(file)
            except Damaged as damage:
                found = _damaged(damage, arriving.hashes, file)
            if isinstance(found, Mismatch):
                arriving.restart()
                return found
        half.replace(target)
        return found


def judged(hashes: Hashes, file: SourceFile) -> ManifestEntry | Mismatch:
    """The entry of a file that was read to its end, or how it differs from what its source listed. Pure."""
    if hashes.length != file.size:
        return Mismatch(file.path, _listed(file), f"{hashes.length} bytes")
    if file.checksum and hashes.found != file.checksum.value:
        return Mismatch(file.path, str(file.checksum), str(replace(file.checksum, value=hashes.found)))
    return ManifestEntry(Digest(hashes.sha256), file.size)


def _damaged(damage: Damaged, hashes: Hashes, file: SourceFile) -> ManifestEntry | Mismatch:
    """What the listing's own checksum says of such a file; only where it has none, the service's counts."""
    if file.checksum:
        return judged(hashes, file)
    return Mismatch(file.path, damage.expected, damage.found)


def _too_long(file: SourceFile) -> Mismatch:
    return Mismatch(file.path, _listed(file), f"more than {file.size} bytes")


def _listed(file: SourceFile) -> str:
    return f"{file.checksum} ({file.size} bytes)" if file.checksum else f"{file.size} bytes"


def _places(file: SourceFile, target: Path, blobs: BlobStore) -> list[Path]:
    """Where the file may be on this machine: in the folder, and as a blob where its sha256 is known."""
    if file.checksum and file.checksum.is_plain_sha256:
        return [target, blobs.path(Digest(file.checksum.value))]
    return [target]


def present(file: SourceFile, dest: Path, blobs: BlobStore) -> int:
    """How many bytes of the file are on this machine, whole or half."""
    places = [*_places(file, dest / file.path, blobs), part(dest, file)]
    return min(file.size, max(_size(path) for path in places))


def part(dest: Path, file: SourceFile) -> Path:
    """Where the file is while it is not whole."""
    return dest / PARTS / Digest.of_bytes(file.path.encode()).hex


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _refused(bad: Sequence[Mismatch], where: str) -> Refused:
    one_by_one = "; ".join(map(str, bad))
    return Refused(
        f"{where} is not what its source promised: {', '.join(m.path for m in bad)}",
        why=f"transferred twice, the content still differs from the commit's own listing ({one_by_one})",
        next_step="run the same command again later; if it stays, the source or something between is broken: "
        "choose another revision, or tell who runs it",
    )
