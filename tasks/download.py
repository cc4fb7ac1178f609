"""Download: exactly the admitted files of a listing, each hashed once as it arrives, into the blob store.

Nothing a source returns is believed: every file is compared with the listing of its commit, and one that
differs is transferred once more before it is refused. What arrived, whole or half, is gone on with after a
kill, and becomes blobs when all of it was judged: what is refused leaves nothing. Small files come first, so
that a model that may not enter for what its configuration or its index says costs no shard.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.admission import CARD, admit, is_weights
from registry.atomic import explained
from registry.blobs import BlobStore
from registry.errors import Refused
from registry.licence import refuse_licence
from registry.manifest import Manifest
from registry.plain_text import counted
from tasks.arriving_file import is_at
from tasks.disk import in_words, require_space
from tasks.inspect_files import compare_names, inspect
from tasks.model_terms import LARGEST_CARD, Terms, read_terms
from tasks.progress import StageProgress
from tasks.source import Listing, Source, SourceFile
from tasks.transfer import Transfer, present


@dataclass(frozen=True)
class Plan:
    """What a download would do, in bytes: all files, and those of them that are on this machine already."""

    files: tuple[SourceFile, ...]
    present: int

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def weights(self) -> tuple[SourceFile, ...]:
        """Those of the files that hold tensors."""
        return tuple(file for file in self.files if is_weights(file.path))

    @property
    def missing(self) -> int:
        """Bytes to transfer."""
        return self.total - self.present

    def __str__(self) -> str:
        here = f", {in_words(self.present)} of it here" if self.present else ""
        return f"{counted(len(self.files), 'file')}, {in_words(self.total)}{here}"


def plan_download(listing: Listing, dest: Path, blobs: BlobStore) -> Plan:
    """What is admitted of a listing, and how much of it ``dest`` (a folder to work in) and the blobs have.

    Raises Refused for a listing with a file that may not enter, InfrastructureError without room on the disk.
    """
    names = [*(file.path for file in listing.files), *listing.links]
    taken = {*admit(names, listing.where, links=listing.links).taken}
    wanted = [f for f in listing.files if f.path in taken or (f.path == CARD and f.size <= LARGEST_CARD)]
    files = tuple(sorted(wanted, key=lambda file: file.size))
    plan = Plan(files, sum(present(file, dest, blobs) for file in files))
    require_space(dest, plan.missing, f"the files of {listing.where}")
    return plan


@dataclass(frozen=True)
class Downloaded:
    """The files, and what the model says of its licence and chat template."""

    manifest: Manifest
    terms: Terms


def download(
    source: Source,
    listing: Listing,
    dest: Path,
    blobs: BlobStore,
    progress: StageProgress,
    licences: Collection[str] = (),
) -> Downloaded:
    """The admitted files of the listing, every one verified and a blob.

    ``dest`` is a ``download_folder``, and holds links to them.
    ``progress`` gets bytes and bytes per second in words, and the fraction. ``licences`` are those allowed,
    any if empty. A folder of an earlier, killed download is gone on with. Raises Refused (what may not
    enter, contents that stay wrong when transferred twice), UsageError (access) or InfrastructureError
    (source, disk, a commit that is gone).
    """
    plan = plan_download(listing, dest, blobs)
    progress(f"{listing.where}: {plan}", 0.0)
    with Transfer(source, listing, dest, blobs, plan.total, progress) as transfer:
        small = _take_small(transfer, plan, dest, listing.where, licences)
        weights = transfer.take(plan.weights)
        inspect(dest, sorted(weights), listing.where)
        files = {**small.manifest.files, **weights}
        transfer.keep(files)
    return Downloaded(Manifest(files), small.terms)


def try_download(
    source: Source, listing: Listing, plan: Plan, dest: Path, blobs: BlobStore, licences: Collection[str] = ()
) -> None:
    """Judge everything but the weights, as ``download`` does before it transfers those; nothing is kept.

    ``dest`` is an empty folder, and the caller's to remove. Raises as ``download``.
    """
    total = plan.total - sum(file.size for file in plan.weights)
    with Transfer(source, listing, dest, blobs, total, _quietly) as transfer:
        _take_small(transfer, plan, dest, listing.where, licences)


def _quietly(_message: str, _fraction: float | None) -> None:
    """For files that are gone again in a moment."""


def _take_small(
    transfer: Transfer, plan: Plan, dest: Path, where: str, licences: Collection[str]
) -> Downloaded:
    """All files but the weights, judged, and what they say of the model."""
    entries = transfer.take([file for file in plan.files if file not in plan.weights])
    entries.pop(CARD, None)  # read for the licence, and no part of the model
    inspect(dest, sorted(entries), where)
    compare_names(dest, [file.path for file in plan.weights], where)
    terms = read_terms(dest, entries)
    refuse_licence(terms.licence, licences, where)
    return Downloaded(Manifest(entries), terms)


def bring(source: Source, listing: Listing, dest: Path, blobs: BlobStore, progress: StageProgress) -> None:
    """All files of a listing that was judged before, every one verified and a blob; as ``download`` else."""
    plan = Plan(listing.files, sum(present(file, dest, blobs) for file in listing.files))
    require_space(dest, plan.missing, f"the files of {listing.where}")
    with Transfer(source, listing, dest, blobs, plan.total, progress, at_once=True) as transfer:
        transfer.take(listing.files)


@contextmanager
def download_folder(dest: Path, progress: StageProgress) -> Iterator[Path]:
    """A folder to download into, for one run at a time: two that want the same model take turns.

    It is removed when the block ends well, and when what is in it was refused; else the next run goes on.
    """
    lock = dest.with_name(f".{dest.name}.lock")
    descriptor = _held(lock, progress)
    try:
        try:
            yield dest
        except Refused:
            shutil.rmtree(dest, ignore_errors=True)
            raise
        shutil.rmtree(dest, ignore_errors=True)
    finally:
        lock.unlink(missing_ok=True)  # by who holds it only: see _held
        os.close(descriptor)


def _held(lock: Path, progress: StageProgress) -> int:
    """A descriptor that holds the lock; who holds it may remove its file before letting go.

    Whoever waited for a file that is not at its path any more begins again, so that no two hold the lock by
    two files of one name.
    """
    while True:
        with explained(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another run downloads this model; waiting for it", None)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_at(lock, descriptor):
            return descriptor
        os.close(descriptor)
