"""What every place that models come from offers: a listing pinned to one commit, and the files' bytes.

A source decides nothing: which files may enter, whether they are what was listed and where they are kept is
``tasks.download``'s, so that no source can be laxer than another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from registry.admission import CARD, admit
from registry.digest import Digest
from registry.errors import UsageError
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Checksum
from tasks.progress import StageProgress


@dataclass(frozen=True)
class SourceFile:
    """A file as its source lists it; ``size`` in bytes, no checksum where the source knows none.

    ``pin`` is the source's own name for this very state of the file, by which it asks for no other.
    """

    path: str
    size: int
    checksum: Checksum | None
    pin: str = ""

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 0:
            raise ValueError(f"{self.path!r} is listed with the size {self.size!r}")


@dataclass(frozen=True)
class Listing:
    """A model at one commit: 40 hex digits of a hub's, else the ``sha256:`` digest that names the content.

    ``revision`` is what was asked for, ``where`` is for people. ``links`` are symbolic links: no files.
    """

    uri: str
    revision: str
    commit: str
    files: tuple[SourceFile, ...]
    where: str
    links: tuple[str, ...] = ()


class Source(Protocol):
    """A model at an address. Both methods raise UsageError, InfrastructureError or Refused."""

    def resolve(self, revision: str, progress: StageProgress) -> Listing:
        """What the revision is now."""

    def pull(self, listing: Listing, file: SourceFile, out: ArrivingFile) -> None:
        """Write the file's bytes from ``out.tell()`` on. Called from several threads at a time."""


AS_IT_IS = "main"
"""The revision that asks for what is there now, in places that keep no history."""


def check_revision(revision: str, commit: str, where: str) -> None:
    """Raises UsageError unless a place without history is at the revision: any commit, or the one named."""
    if revision in {commit, AS_IT_IS}:
        return
    if revision.startswith("sha256:"):
        raise UsageError(
            f"{where} is not what the release is pinned to",
            why=f"it is {commit} now, and the spec's revision is {revision}",
            next_step="put back what was there, or name the commit of what is there now",
        )
    raise UsageError(
        f"{where} has no revision {revision!r}",
        why="only hubs keep branches and tags; here the revision is empty, or the sha256:... of the content",
        next_step=f"leave model.revision out, or pin what is there now: {commit}",
    )


def content_commit(files: Iterable[SourceFile]) -> str:
    """The commit of a place without history: a digest over names, sizes, and checksums or pins."""
    # Names that are no text have to be told apart too: they are refused later, and by name.
    return str(Digest.of_json({ascii(f.path): [f.size, str(f.checksum or f.pin)] for f in files}))


def worth_reading(paths: Collection[str], where: str, links: Collection[str] = ()) -> set[str]:
    """The files of a place that may enter, and the one that names the licence; raises Refused as ``admit``.

    A place without history is named by these alone: what else lies there may come and go.
    """
    return {*admit([*paths, *links], where, links=links).taken, *({CARD} & {*paths})}
