"""Garbage in the weights store: what lies there, and the removal of what a plan says.

A set's marker goes first, if it is still the one that the plan has seen: then the set is held no more.
Whoever keeps it meanwhile writes a marker before looking which files are there, so files go only while there
is none; and whoever wrote one looks at the files again in the end. An interrupted removal leaves files
without a marker, which the next one takes. What another registry keeps stays: its versions are unknown here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from itertools import count
from typing import Any

from registry.access import Access
from registry.digest import Digest
from registry.errors import HeadgateError
from registry.garbage import Cutoff, File, Found, Kind, plan, wanted_sets
from registry.identity import identity
from registry.s3_errors import FAILURES
from tasks.s3_bucket import is_ended
from tasks.weights_store import WeightsStore, open_weights_store, read_manifest

IN_WEIGHTS_STORE = (Kind.UPLOAD, Kind.KEPT)


class WeightsSweeper:
    """One weights store, for one collection. ``trouble`` says why it is not swept to the end, if so."""

    def __init__(self, store: WeightsStore) -> None:
        self.trouble = ""
        self._store, self._bucket = store, store.bucket
        self._sets: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self._numbers = count(1)

    def plan(self, named: Callable[[], set[str]], live: Collection[str], cutoff: Cutoff) -> list[Found]:
        """What goes; nothing, and ``trouble``, where that cannot be told.

        ``named`` tells the sets (hex) that versions name, ``live`` holds those that something live needs.
        """
        try:
            found = [*self._uploads(), *self._kept()]
            wanted = wanted_sets(found, named(), live, cutoff)
            going = plan(found, {Kind.KEPT: wanted}, cutoff)
            return [item for item in going if item.kind is Kind.UPLOAD or self._is_ours(item.name)]
        except HeadgateError as problem:
            self.trouble = str(problem)
            return []

    def remove(self, going: Found) -> int:
        """Remove it unless it was wanted since the plan; returns the bytes that became free.

        Nothing more is removed once there is ``trouble``.
        """
        freed = 0
        try:
            for size in self._removed(going) if not self.trouble else ():
                freed += size
        except HeadgateError as problem:
            self.trouble = str(problem)
        return freed

    def _kept(self) -> Iterator[Found]:
        root = self._store.root
        for entry in self._bucket.objects(root, deep=True):
            place, _, rest = entry["Key"].removeprefix(root).partition("/")
            if name := _digest(rest.removesuffix(".json") if place == "sets" else place):
                self._sets[name][entry["Key"]] = entry
        for name, entries in self._sets.items():
            used = max(entry["LastModified"].timestamp() for entry in entries.values())
            yield Found(Kind.KEPT, name, used, self._files(entries.values()))

    def _uploads(self) -> Iterator[Found]:
        root = self._store.root
        for upload in self._bucket.uploads(root):
            key, begun = upload["Key"], upload["Initiated"]
            if _digest(key.removeprefix(root).partition("/")[0]):
                try:
                    parts = [*self._bucket.parts(key, upload["UploadId"])]
                except FAILURES as problem:
                    if is_ended(problem):
                        continue
                    raise
                used = max([begun, *(part["LastModified"] for part in parts)]).timestamp()
                yield Found(Kind.UPLOAD, f"{key} {upload['UploadId']}", used, self._files(parts))

    def _files(self, objects: Collection[dict[str, Any]]) -> tuple[File, ...]:
        """Each with a number that no other object and no inode has."""
        return tuple(File(-next(self._numbers), 1, found["Size"]) for found in objects)

    def _is_ours(self, name: str) -> bool:
        """Whether no other registry keeps it."""
        if self._store.marker(Digest(name)) not in self._sets[name]:
            return True
        return self._store.kept_by(Digest(name)) == {identity(self._store.registry)}

    def _removed(self, going: Found) -> Iterator[int]:
        """Remove it, and say how many bytes each step freed."""
        if going.kind is Kind.UPLOAD:
            key, _, upload = going.name.rpartition(" ")
            self._bucket.abort(key, upload)
            yield sum(file.size for file in going.files)
            return
        marker, entries = self._store.marker(Digest(going.name)), dict(self._sets[going.name])
        if planned := entries.pop(marker, None):
            if not self._bucket.delete(marker, planned["ETag"]):
                return
            yield planned["Size"]
        for key in [*self._of_sources[going.name], *entries]:
            if self._bucket.head(marker):
                return
            self._bucket.delete(key)
            yield entries.get(key, {"Size": 0})["Size"]

    @cached_property
    def _of_sources(self) -> defaultdict[str, list[str]]:
        """By set, what says that a source has it."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for entry in self._bucket.objects(f"{self._store.root}sources/", deep=True):
            if files := read_manifest(self._bucket.get(entry["Key"])):
                found[files.set_digest.hex].append(entry["Key"])
        return found


def sweeper_of(access: Access) -> WeightsSweeper | None:
    """Of the weights store that HEADGATE_WEIGHTS names, if it does; UsageError for what is no bucket."""
    store = open_weights_store(access)
    return WeightsSweeper(store) if store else None


def _digest(text: str) -> str:
    """The text when it is a digest's hex; what else lies in the bucket is nobody's business."""
    try:
        return Digest(text).hex
    except ValueError:
        return ""
