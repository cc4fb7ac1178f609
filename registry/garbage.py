"""What must stay, and what may go. Pure: records, a listing of the disk and the time in, a plan out.

A version is live while an alias, a fleet or a pin names it, or it was in production lately: a rollback
never waits for a download. What live versions are made of stays, and so does everything claimed since
``before``: the earlier of the grace period's begin and the start of the oldest run that is alive. What is
not known to be needed by then goes. Version records and evidence are never garbage.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from registry.alias import Alias, Aliases
from registry.alias_move import Move
from registry.descriptor import Descriptor
from registry.digest import Digest
from registry.errors import UsageError
from registry.manifest import Manifest
from registry.version import ModelVersion, parse_reference

IN_A_FLEET = "in a fleet"
_DAY = 86400.0
_BEGINNING = datetime.min.replace(tzinfo=UTC)


class Kind(StrEnum):
    """Kinds of things that can go, in the order they go: what refers to others before what is referred to."""

    LEFTOVER = "leftovers of dead writers"
    RUN = "folders of old runs"
    TEXT = "texts of evaluations"
    DOWNLOAD = "unfinished downloads"
    RUNTIME = "records of runtimes"
    IMAGE = "image tags"
    IMAGE_BLOB = "image manifests, configs and layers"
    WEIGHTS = "weights folders"
    BLOB = "blobs"
    UPLOAD = "unfinished uploads to the weights store"
    KEPT = "sets in the weights store"


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long things stay that nothing names any more; times in seconds. UsageError for a negative one.

    ``rollbacks`` versions that were in production before, of each model and GPU class, and all that were
    within ``rollback_seconds``, can be promoted at once. What was claimed within ``grace_seconds`` stays in
    any case, and so do folders of runs that wrote to it, and texts of evaluations that were read, within
    ``log_seconds``. A set in the weights store that only dead versions name goes when it was last wanted
    ``weights_seconds`` ago; None: never.
    """

    rollbacks: int = 3
    rollback_seconds: float = 30 * _DAY
    grace_seconds: float = _DAY
    log_seconds: float = 90 * _DAY
    weights_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.rollbacks < 0:
            raise UsageError(
                f"Garbage collection cannot keep {self.rollbacks} earlier versions ready for a rollback",
                next_step="name how many to keep for each GPU class: 0 or more",
            )
        times = (self.rollback_seconds, self.grace_seconds, self.log_seconds, self.weights_seconds or 0)
        if min(times) < 0:
            raise UsageError(
                "Garbage collection cannot keep things for less than no time",
                next_step="name durations such as 30d or 12h",
            )


@dataclass(frozen=True)
class Cutoff:
    """What was used before this may go: seconds since the epoch. ``logs`` is for what people read of runs.

    ``named`` is for sets in the weights store that a version names, and nothing live needs.
    """

    before: float
    logs: float
    named: float = -math.inf

    @classmethod
    def at(cls, now: float, retention: Retention, live_since: Iterable[float]) -> Cutoff:
        """The cutoff for this moment, given when each run that is alive began: nothing they use may go."""
        before = min([now - retention.grace_seconds, *live_since])
        named = -math.inf if retention.weights_seconds is None else now - retention.weights_seconds
        return cls(before, min(before, now - retention.log_seconds), min(before, named))

    def of(self, kind: Kind) -> float:
        """The cutoff for this kind."""
        return self.logs if kind in {Kind.RUN, Kind.TEXT} else self.before


@dataclass(frozen=True)
class File:
    """A file's data as a disk knows it: its inode, how many names it has anywhere, and its bytes."""

    inode: int
    links: int
    size: int


@dataclass(frozen=True)
class Found:
    """A thing on disk: its name among its kind, when it was last claimed or written to, and its files."""

    kind: Kind
    name: str
    used: float
    files: tuple[File, ...] = ()


def live_versions(
    aliases: Mapping[tuple[str, str], Aliases],
    moves: Iterable[Move],
    revisions: Iterable[str],
    pins: Iterable[str],
    now: datetime,
    retention: Retention,
) -> dict[str, list[str]]:
    """The references of all live versions, sorted, each with the reasons it is live for, for people.

    ``revisions`` are those of the fleets' replicas; one that is no version's is left out.
    """
    reasons: dict[str, list[str]] = {}
    for (name, gpu_class), pointing in aliases.items():
        for alias, number in pointing.to_json().items():
            if number is not None:
                reasons.setdefault(f"{name}/{number}", []).append(f"{alias} on {gpu_class}")
    for reference, reason in _in_production_lately(moves, now, retention):
        reasons.setdefault(reference, []).append(reason)
    for revision in revisions:
        if served := version_of(revision):
            reasons.setdefault(served, []).append(IN_A_FLEET)
    for reference in pins:
        reasons.setdefault(reference, []).append("pinned")
    return {reference: list(dict.fromkeys(why)) for reference, why in sorted(reasons.items())}


def version_of(revision: str) -> str | None:
    """The version behind a fleet's revision (``tiny-v3`` is ``tiny/3``), or None when it is none."""
    reference = "/".join(revision.rsplit("-v", 1))
    try:
        parse_reference(reference)
    except ValueError:
        return None
    return reference


def live_names(versions: Iterable[tuple[ModelVersion, Iterable[Manifest]]]) -> dict[Kind, set[str]]:
    """What live versions need, given each with the manifests of its weights and of their source."""
    names: dict[Kind, set[str]] = {Kind.RUNTIME: set(), Kind.IMAGE: set(), Kind.WEIGHTS: set()}
    names[Kind.BLOB] = set()
    for version, manifests in versions:
        names[Kind.RUNTIME].add(version.runtime.hex)
        names[Kind.IMAGE].add(version.image.hex)
        for manifest in manifests:
            names[Kind.WEIGHTS].add(manifest.set_digest.hex)
            names[Kind.BLOB] |= {entry.digest.hex for entry in manifest.files.values()}
        # Recipes of before named no texts by digest.
        names[Kind.BLOB].add(str(version.recipe.get("calibration", "")).removeprefix("sha256:"))
    return names


def plan(found: Iterable[Found], live: Mapping[Kind, Collection[str]], cutoff: Cutoff) -> list[Found]:
    """What goes, in the order it goes: what is not among the live names of its kind, and old enough."""
    order = list(Kind)
    going = [i for i in found if i.name not in live.get(i.kind, ()) and i.used < cutoff.of(i.kind)]
    return sorted(going, key=lambda item: (order.index(item.kind), item.name))


def wanted_sets(
    found: Iterable[Found], named: Collection[str], live: Collection[str], cutoff: Cutoff
) -> set[str]:
    """The sets in the weights store that stay: live ones, and those versions name that were wanted lately."""
    return {*live} | {item.name for item in found if item.name in named and item.used >= cutoff.named}


def bytes_freed(going: Iterable[Found]) -> dict[Kind, int]:
    """How many bytes become free when all of these go: a file's do with the last of its names."""
    removed: Counter[int] = Counter()
    freed: Counter[Kind] = Counter()
    for item in going:
        freed[item.kind] += 0
        for file in item.files:
            removed[file.inode] += 1
            if removed[file.inode] == file.links:
                freed[item.kind] += file.size
    return dict(freed)


@dataclass(frozen=True)
class Image:
    """An entry of the image layout's index, and when what it lists was claimed.

    ``subject`` is the image that a list of referrers is about; ``ours`` says that Headgate built it.
    """

    entry: Descriptor
    used: float
    ours: bool
    subject: Digest | None = None


def dead_images(images: Iterable[Image], live: Collection[str], before: float) -> list[Image]:
    """The entries that go: our own images that no live version has, and referrers of what is gone.

    ``live`` holds hex digests. What other tools put into the layout stays, with what refers to it.
    """
    known = list(images)
    staying = {image.entry.digest.hex for image in known if not image.ours or image.used >= before} | {*live}
    dead = []
    for image in known:
        about = image.subject or image.entry.digest
        if image.used < before and about.hex not in staying:
            dead.append(image)
    return dead


def _in_production_lately(
    moves: Iterable[Move], now: datetime, retention: Retention
) -> Iterator[tuple[str, str]]:
    """References of the rollback window, and why. Which was live last is by the log, not by clocks."""
    left: dict[tuple[str, str], dict[int, datetime]] = {}
    for move in sorted(moves, key=lambda move: move.number):
        if move.alias is Alias.PRODUCTION and (number := move.before.production) is not None:
            earlier = left.setdefault((move.name, move.gpu_class), {})
            earlier[number] = max(_moment(move.at), earlier.pop(number, _BEGINNING))
    for (name, gpu_class), ended in left.items():
        for place, (number, until) in enumerate(reversed(ended.items())):
            if place < retention.rollbacks or (now - until).total_seconds() <= retention.rollback_seconds:
                yield f"{name}/{number}", f"was in production on {gpu_class} until {until:%Y-%m-%d}"


def _moment(at: str) -> datetime:
    """The time an entry gives, or the end of time for one that gives none: it is kept then."""
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
