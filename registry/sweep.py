"""Garbage collection in one home: what lies on its disk, and the removal of what a plan says.

Every removal looks once more, under the lock that claims take, whether the thing was claimed since the
plan was made. So it is safe beside runs, and may be killed anywhere: what is left goes the next time.
What has to stay is ``garbage``'s to decide.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.atomic import explained
from registry.blobs import BlobStore, changed, erase
from registry.descriptor import MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest
from registry.errors import InfrastructureError
from registry.garbage import File, Found, Image, Kind, dead_images
from registry.home import Home
from registry.manifest import Manifest
from registry.oci_layout import OciLayout, tag_of
from registry.store import PLACES
from registry.version import ModelVersion

_OURS = "headgate.weights-set"  # the label of every image that Headgate builds


def missing_bytes(version: ModelVersion, weights: Manifest, blobs: BlobStore, layout: OciLayout) -> list[str]:
    """A sentence for each part of a version that is not on this machine; what is here is claimed.

    So a version that was found complete stays complete for as long as this run lives.
    """
    missing = [] if blobs.claim(e.digest for e in weights.files.values()) else blobs.missing(weights)
    sentences = []
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        size = sum(weights.files[path].size for path in missing)
        sentences.append(f"{len(missing)} of its {len(weights.files)} files {verb} gone ({size} bytes)")
    if not layout.claim_image(version.image):
        sentences.append(f"its image {version.image} is gone, or a part of it")
    return sentences


@dataclass(frozen=True)
class Sweeper:
    """One home's disk, and the folder that its registry is in, wherever that is; None in a bucket."""

    home: Home
    store: Path | None = None

    @property
    def blobs(self) -> BlobStore:
        """Its blobs."""
        return BlobStore(self.home.blobs)

    @property
    def layout(self) -> OciLayout:
        """Its images."""
        return OciLayout(self.home.oci, self.blobs)

    def find(self) -> Iterator[Found]:
        """Everything that could go, if nothing needed it."""
        yield from self._leftovers()
        for kind, folder in self._folders().items():
            for path in _inside(folder):
                yield _found(kind, path, deep=kind in {Kind.RUN, Kind.DOWNLOAD})
        for digest in self.blobs.digests():
            yield _found(Kind.BLOB, self.blobs.path(digest))
        for digest, path in self.layout.kept():
            yield _found(Kind.IMAGE_BLOB, path, digest.hex)
        for entry in self.layout.entries():
            yield Found(Kind.IMAGE, _name(entry), self.layout.claimed(entry.digest))

    def live_in_layout(self, live: Collection[str], before: float) -> dict[Kind, set[str]]:
        """The entries, blobs and weights that stay for the images in ``live`` (hex) and other tools' images.

        Raises InfrastructureError for a manifest that cannot be read: what it needs is not known then.
        """
        images = [self._image(entry) for entry in self.layout.entries()]
        dead = {_name(image.entry) for image in dead_images(images, live, before)}
        staying = [image.entry for image in images if _name(image.entry) not in dead]
        roots = [*staying, *(Descriptor(MANIFEST_MEDIA_TYPE, Digest(hex_), 0) for hex_ in live)]
        parts = self._reachable(roots)
        streamed = {blob.hex for digest in parts if (blob := self.layout.streamed_from(digest))}
        return {
            Kind.IMAGE: {_name(entry) for entry in staying},
            Kind.IMAGE_BLOB: {digest.hex for digest in parts},
            Kind.BLOB: streamed,
        }

    def remove(self, going: Found, before: float) -> int:
        """Remove it unless it was claimed at ``before`` (seconds since the epoch) or later.

        Returns the bytes that became free; raises InfrastructureError when the disk refuses.
        """
        match going.kind:
            case Kind.BLOB:
                return self.blobs.discard(Digest(going.name), before)
            case Kind.IMAGE_BLOB:
                return self.layout.discard(Digest(going.name), before)
            case Kind.IMAGE:
                for entry in self.layout.entries():
                    if _name(entry) == going.name:
                        self.layout.drop(entry, before)
                return 0
            case Kind.WEIGHTS:
                return self.blobs.discard_tree(self._folders()[Kind.WEIGHTS] / going.name, before)
        path = (self._folders().get(going.kind) or self.home.root) / going.name
        with explained(path):
            return erase(path) if _used(path, deep=going.kind is not Kind.LEFTOVER) < before else 0

    def _folders(self) -> Mapping[Kind, Path]:
        """The kinds that are all there is in a folder."""
        return {
            Kind.RUN: self.home.runs,
            Kind.TEXT: self.home.texts,
            Kind.DOWNLOAD: self.home.cache / "downloads",
            Kind.RUNTIME: self.home.cache / "runtimes",
            Kind.WEIGHTS: self.home.cache / "weights",
        }

    def _leftovers(self) -> Iterator[Found]:
        for folder in (self.home.blobs, self.home.oci, self.home.cache, self.home.store):
            for path in folder.rglob(".tmp-*"):
                yield _found(Kind.LEFTOVER, path, path.relative_to(self.home.root).as_posix())
        if self.store and self.store != self.home.store:
            for place in PLACES:  # what lies beside them in a shared folder is not ours
                for path in (self.store / place).rglob(".tmp-*"):
                    yield _found(Kind.LEFTOVER, path, str(path))  # absolute: so it is found again

    def _image(self, entry: Descriptor) -> Image:
        used, subject = self.layout.claimed(entry.digest), _subject(tag_of(entry) or "")
        return Image(entry, used, ours=subject is not None or self._is_ours(entry), subject=subject)

    def _is_ours(self, entry: Descriptor) -> bool:
        if entry.media_type != MANIFEST_MEDIA_TYPE or not self.layout.has(entry.digest):
            return False
        try:
            config = json.loads(self.layout.read(self.layout.contents(entry.digest)[0].digest))
            return _OURS in config["config"]["Labels"]
        except (InfrastructureError, ValueError, KeyError, TypeError, IndexError):
            return False  # whoever's it is, its parts may be needed

    def _reachable(self, roots: Iterable[Descriptor]) -> set[Digest]:
        seen: set[Digest] = set()
        waiting = list(roots)
        while waiting:
            found = waiting.pop()
            if found.digest not in seen and self.layout.has(found.digest):
                waiting.extend(self.layout.parts(found))
            seen.add(found.digest)
        return seen


def _name(entry: Descriptor) -> str:
    """How people know an entry of the index, and no other entry is known."""
    return f"{tag_of(entry) or 'untagged'} ({entry.digest})"


def _subject(tag: str) -> Digest | None:
    """The image a list of referrers is about, by its tag (``referrers.fallback_tag``)."""
    try:
        return Digest.parse(tag.replace("sha256-", "sha256:", 1))
    except ValueError:
        return None


def _inside(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def _found(kind: Kind, path: Path, name: str = "", *, deep: bool = False) -> Found:
    files = []
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with contextlib.suppress(FileNotFoundError):
            stat = file.lstat()
            if not file.is_dir():
                files.append(File(stat.st_ino, stat.st_nlink, stat.st_size))
    return Found(kind, name or path.name, _used(path, deep=deep), tuple(files))


def _used(path: Path, *, deep: bool) -> float:
    """When it was last claimed; of what is written to in place, when anything in it changed."""
    inner = path.rglob("*") if deep and path.is_dir() else ()
    return max(changed(found) for found in (path, *inner))
