"""Whether the weights of a version are those of its record: in its image, as blobs, and as servers load them.

What is here is read to the last byte, however much is not: damage is found first, and only then it is said
that something could not be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import Refused
from registry.manifest import Manifest
from registry.oci_layout import OciLayout
from registry.plain_text import counted
from registry.remedy import put_anew
from registry.verify_image import Heard, LayerFile, NotHere, image_parts, manifest_of, read_files
from registry.version import ModelVersion

_SHOWN = 3  # differences worth naming; the rest is counted
_RESTORE = "restore it from a backup, or release the version again"
_MADE_AGAIN = "whatever serves the version next makes it again, from the blobs"


@dataclass(frozen=True)
class WeightsPlaces:
    """Where weights lie: in images, as blobs, in the folder of one version; an archive has only images."""

    layout: OciLayout
    blobs: BlobStore | None
    folder: Path | None


def check_weights(places: WeightsPlaces, version: ModelVersion, weights: Manifest, heard: Heard) -> str:
    """What was read; Refused when any of it is not the record's, NotHere when only some of it is missing.

    Where the image is not here, which is for another check to say, the blobs tell.
    """
    files = _in_image(places.layout, version.image, weights, heard)
    absent = set() if files is None and places.blobs else weights.files.keys() - (files or {}).keys()
    if places.blobs:
        absent |= set(_absent_blobs(places.layout, places.blobs, weights, files or {}, heard))
        if places.folder:
            _check_folder(places.folder, weights, places.blobs)
    files_told = counted(len(weights.files), "file")
    if absent:
        raise not_here(f"{len(absent)} of {files_told} of the weights", version, absent)
    where = "of the blobs, without the image," if files is None else "of the image"
    return f"{files_told}, {weights.size} bytes: every byte {where} was read and is as signed"


def check_served(blobs: BlobStore, folder: Path, weights: Manifest, heard: Heard) -> None:
    """Reads what servers load from the folder; Refused when it is not the weights, to the last byte."""
    for path, entry in weights.files.items():
        if blobs.has(entry.digest):  # the folder's file is a link to it
            check_blob(blobs, path, entry.digest)
        heard(entry.size)
    _check_folder(folder, weights, blobs)


def not_here(what: str, version: ModelVersion, names: set[str] | None = None) -> NotHere:
    """The error for parts of a version that could not be checked, naming some of them."""
    named = f" ({_shown(sorted(names))})" if names else ""
    next_step = (
        f"check it in the home that has them, as the one that released it;"
        f" or release or import {version.reference} here, to have them"
    )
    return NotHere(f"{what}{named} are not on this machine and were not checked", next_step=next_step)


def _in_image(
    layout: OciLayout, image: Digest, weights: Manifest, heard: Heard
) -> Mapping[str, LayerFile] | None:
    """The files of the image that are here, None without its manifest; Refused when it holds other things."""
    try:
        layers = image_parts(layout, image)[1]
    except NotHere:
        return None
    files, absent = read_files(layout, layers, heard)
    known = {entry.digest for entry in weights.files.values()}
    expected = Manifest({p: e for p, e in weights.files.items() if not absent or p in files})
    differences = expected.diff(manifest_of(files))
    differences += [
        f"the layer {layer.digest} is made of {blob}, none of its files"
        for layer in absent
        if (blob := layout.streamed_from(layer.digest)) not in {None, *known}
    ]
    if not differences and len(layers) != len(weights.files):
        differences = [f"it has {counted(len(layers), 'layer')} for {counted(len(weights.files), 'file')}"]
    _refuse_differences(f"The image {image}", differences, _RESTORE)
    return files


def _absent_blobs(
    layout: OciLayout, blobs: BlobStore, weights: Manifest, files: Mapping[str, LayerFile], heard: Heard
) -> Iterator[str]:
    """The files whose blobs are not here; Refused at the first blob that is another one."""
    for path, entry in weights.files.items():
        file = files.get(path)
        if file and layout.streamed_from(file.layer.digest) == entry.digest:
            continue  # what the layer was streamed from has just been read
        blob = blobs.path(entry.digest)
        if blob.exists() or blob.is_symlink():
            check_blob(blobs, path, entry.digest)
            heard(entry.size)
        else:
            yield path


def check_blob(blobs: BlobStore, path: str, digest: Digest) -> None:
    """Refused when the blob of a file, which is here, has other content; OSError when it cannot be read."""
    found = Digest.of_file(blobs.path(digest))
    if found != digest:
        why = f"its content has the digest {found}"
        what = f"The blob {digest} of {path} has been changed"
        raise Refused(what, why=why, next_step=put_anew(blobs.path(digest)))


def _differences(folder: Path, weights: Manifest, blobs: BlobStore) -> Iterator[str]:
    """What servers would load from the folder that is not the weights; a link to a blob is the blob."""
    if not folder.is_dir():
        return
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    yield from (f"{path} was not expected" for path in sorted(found.keys() - weights.files.keys()))
    for path, entry in weights.files.items():
        blob = blobs.path(entry.digest)
        if path not in found:
            if blob.exists():  # else it went with its blob
                yield f"{path} is missing"
            continue
        linked = blob.exists() and found[path].samefile(blob)
        if not linked and Digest.of_file(found[path]) != entry.digest:
            yield f"{path} differs"


def _check_folder(folder: Path, weights: Manifest, blobs: BlobStore) -> None:
    differences = list(_differences(folder, weights, blobs))
    _refuse_differences(f"The folder {folder}", differences, f"remove {folder}: {_MADE_AGAIN}")


def _refuse_differences(where: str, sentences: list[str], next_step: str) -> None:
    if sentences:
        what = f"{where} does not hold the weights of the record"
        raise Refused(what, why=_shown(sentences, "; "), next_step=next_step)


def _shown(words: list[str], between: str = ", ") -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return f"{between.join(words[:_SHOWN])}{more}"
