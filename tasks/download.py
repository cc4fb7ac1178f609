"""Download: exactly the admitted files of a listing, each hashed once as it arrives, into the blob store.

Nothing a source returns is believed: every file is compared with the listing of its commit, and one that
differs is transferred once more before it is refused. What arrived whole is a blob at once; half of a file
is gone on with, after a kill too. Small files come first, so that a model that may not enter for what its
configuration asks for costs no shard.
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
from tasks.disk import in_words, require_space
from tasks.inspect_files import inspect
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
        small = [file for file in plan.files if not is_weights(file.path)]
        entries = transfer.take(small)
        entries.pop(CARD, None)  # read for the licence, and no part of the model
        inspect(dest, sorted(entries), listing.where)
        terms = read_terms(dest, entries)
        refuse_licence(terms.licence, licences, listing.where)
        weights = transfer.take([file for file in plan.files if is_weights(file.path)])
    inspect(dest, sorted(weights), listing.where)
    return Downloaded(Manifest(entries | weights), terms)


def bring(source: Source, listing: Listing, dest: Path, blobs: BlobStore, progress: StageProgress) -> None:
    """All files of a listing that was judged before, every one verified and a blob; as ``download`` else."""
    plan = Plan(listing.files, sum(present(file, dest, blobs) for file in listing.files))
    require_space(dest, plan.missing, f"the files of {listing.where}")
    with Transfer(source, listing, dest, blobs, plan.total, progress) as transfer:
        transfer.take(listing.files)


@contextmanager
def download_folder(dest: Path, progress: StageProgress) -> Iterator[Path]:
    """A folder to download into, for one run at a time: two that want the same model take turns.

    It is removed when the block ends well, and when what is in it was refused; else the next run goes on.
    """
    lock = dest.with_name(f".{dest.name}.lock")
    with explained(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another run downloads this model; waiting for it", None)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield dest
        except Refused:
            shutil.rmtree(dest, ignore_errors=True)
            raise
        shutil.rmtree(dest, ignore_errors=True)
    finally:
        os.close(descriptor)
