"""An OCI image layout on disk: its tags, and what is signed about its images.

Blobs are ``layout_blobs``'. Which files become layers, and what the config says, is left to ``images``.

What is signed about an image lies beside it as referrers, listed under the distribution specification's
fallback tag: a push of the layout's tags, with any tool, carries them along.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from registry.atomic import exclusive, write_file
from registry.bundle import BUNDLE_MEDIA_TYPE
from registry.data_errors import worded
from registry.descriptor import EMPTY_MEDIA_TYPE, INDEX_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError, UsageError
from registry.layout_blobs import LayoutBlobs
from registry.referrers import (
    EMPTY_BLOB,
    bundle_in,
    bundle_manifest,
    fallback_tag,
    media_type_of,
    merged_index,
    read_index,
    referrer_of,
)

_REF_NAME = "org.opencontainers.image.ref.name"
# The grammar of that annotation, in the image specification's annotations page.
_TAG = re.compile(r"[A-Za-z0-9]+(([-._:@+]|--)[A-Za-z0-9]+)*(/[A-Za-z0-9]+(([-._:@+]|--)[A-Za-z0-9]+)*)*")


class OciLayout(LayoutBlobs):
    """The layout under ``root``, with the weights in ``blobs``. Safe with many writers."""

    def entries(self) -> list[Descriptor]:
        """Everything the index lists, other tools' images too; ``tag_of`` says under which tag.

        Raises InfrastructureError when the index is damaged.
        """
        return [Descriptor.from_json(entry) for entry in self._entries()]

    def tag(self, name: str, descriptor: Descriptor) -> None:
        """Point a tag at a manifest, in place of what it pointed at; UsageError for a bad name."""
        if not _TAG.fullmatch(name):
            why = "a tag is words of letters and digits, joined by one of - . _ : @ + or /"
            raise UsageError(f"{name!r} cannot be an image tag", why=why, next_step="choose another name")
        with exclusive(self._root / ".lock"):
            self._point({name: descriptor})

    def untag(self, *names: str) -> None:
        """Remove tags, and leave what they pointed at; nothing happens for one that is not there."""
        with exclusive(self._root / ".lock"):
            if any(self.resolve(name) for name in names):
                self._point(dict.fromkeys(names))

    def tagged(self) -> dict[str, Descriptor]:
        """What each tag points at, sorted; the lists of referrers (``referrers.fallback_tag``) among them."""
        found = {_tag_of(entry): Descriptor.from_json(entry) for entry in self._entries()}
        return {name: replace(found[name], annotations={}) for name in sorted(filter(None, found))}

    def put_referrer(self, subject: Digest, bundle: bytes) -> Descriptor:
        """``put_referrers`` of one signed statement."""
        return self.put_referrers(subject, [bundle])[0]

    def put_referrers(self, subject: Digest, bundles: Iterable[bytes]) -> list[Descriptor]:
        """Attach signed statements to an image that is here; once, however often.

        Raises ValueError for what is no signed statement (``referrers.attachable``), InfrastructureError
        when the image is not here.
        """
        image = self.read(subject)
        about = Descriptor(media_type_of(image), subject, len(image))
        referrers = [self._put_artifact(about, bundle) for bundle in bundles]
        with exclusive(self._root / ".lock"):
            listed = self.resolve(fallback_tag(subject))
            before = self.read(listed.digest) if listed else None
            after = merged_index(before, referrers)
            if referrers and after != before:
                index = self.put_blob(after, INDEX_MEDIA_TYPE)
                self.claim(index)  # what was listed before goes on being listed
                self._point({fallback_tag(subject): index})
        return referrers

    def referrers(self, subject: Digest) -> list[Descriptor]:
        """What refers to an image, as its index lists it."""
        listed = self.resolve(fallback_tag(subject))
        return read_index(self.read(listed.digest)) if listed else []

    def bundles(self, subject: Digest) -> dict[Digest, bytes]:
        """The signed statements attached to an image; InfrastructureError for a missing or damaged one."""
        manifests = [self.read(referrer.digest) for referrer in self.referrers(subject)]
        layers = [layer for data in manifests if (layer := bundle_in(data, subject))]
        return {layer.digest: self.read(layer.digest) for layer in layers}

    def claim_image(self, image: Digest) -> bool:
        """Whether an image is here, whole, as ``claim`` says; what refers to it is claimed with it."""
        if listed := self.resolve(fallback_tag(image)):
            self.claim(listed)
        return self.claim(Descriptor(MANIFEST_MEDIA_TYPE, image, 0))

    def resolve(self, name: str) -> Descriptor | None:
        """The manifest a tag points at, or None."""
        found = (Descriptor.from_json(e) for e in self._entries() if _tag_of(e) == name)
        return next((replace(descriptor, annotations={}) for descriptor in found), None)

    def drop(self, dead: Descriptor, before: float) -> bool:
        """Remove an entry of the index, unless what it lists was claimed at ``before`` or later.

        ``before`` is in seconds since the epoch. Returns whether the index has no such entry now.
        """
        with exclusive(self._root / ".lock"):
            if self.claimed(dead.digest) >= before:
                return False
            self._write([e for e in self._entries() if Descriptor.from_json(e) != dead])
            return True

    def _put_artifact(self, about: Descriptor, bundle: bytes) -> Descriptor:
        manifest = bundle_manifest(about, bundle)
        self.put_blob(EMPTY_BLOB, EMPTY_MEDIA_TYPE)
        self.put_blob(bundle, BUNDLE_MEDIA_TYPE)
        self.put_manifest(manifest)
        return referrer_of(manifest)

    def _point(self, tags: Mapping[str, Descriptor | None]) -> None:
        # Under the lock. Entries of other tools, tagged or not, are kept as they are.
        kept = [entry for entry in self._entries() if _tag_of(entry) not in tags]
        new = [d.to_json() | {"annotations": {_REF_NAME: name}} for name, d in tags.items() if d]
        self._write([*kept, *new])

    def _write(self, entries: list[dict[str, Any]]) -> None:
        manifests = sorted(entries, key=_entry_order)
        index = {"schemaVersion": 2, "mediaType": INDEX_MEDIA_TYPE, "manifests": manifests}
        write_file(self._root / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        write_file(self._root / "index.json", canonical_json(index))

    def _entries(self) -> list[dict[str, Any]]:
        path = self._root / "index.json"
        try:
            entries: list[dict[str, Any]] = json.loads(path.read_bytes())["manifests"]
            for entry in entries:
                Descriptor.from_json(entry)
            return entries
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            why = f"it is not an OCI image index ({worded(problem)})"
            next_step = "move it away and release again: the index is written anew from the blobs beside it"
            raise InfrastructureError(f"{path} cannot be read", why=why, next_step=next_step) from problem


def _tag_of(entry: Mapping[str, Any]) -> str | None:
    tag: str | None = (entry.get("annotations") or {}).get(_REF_NAME)
    return tag


def tag_of(entry: Descriptor) -> str | None:
    """The tag of an entry of the index, or None when it has none."""
    return entry.annotations.get(_REF_NAME)


def _entry_order(entry: Mapping[str, Any]) -> tuple[str, str]:
    return _tag_of(entry) or "", entry["digest"]
