"""Re-checks a version from its bytes up: record, manifests, files, image, signatures, evidence, aliases.

Every check ends in a Finding: what was looked at and found whole, or what is wrong, why, and what to do.
One that fails hides no other. A store that cannot be reached is no finding, it is an InfrastructureError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from judging.verdict import Finding, Outcome, Verdict
from registry.alias import Alias
from registry.alias_log import check_log
from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import InfrastructureError, Refused
from registry.manifest import Manifest
from registry.manifests import load_manifest, manifest_key
from registry.oci_layout import OciLayout
from registry.policy import Policy, missing_evidence
from registry.publish import get_version
from registry.store import Store
from registry.trust import Trust
from registry.verify_evidence import (
    Said,
    check_attached,
    check_record,
    check_release,
    check_weights_signature,
    read_said,
)
from registry.verify_image import Heard, check_config, check_listed, manifest_of, read_files
from registry.version import ModelVersion, parse_reference

_SHOWN = 3  # differences worth naming; the rest is counted
_RESTORE = "restore it from a backup, or release the version again"
_MOVED = "`headgate reconcile` finds and repairs what a crash left; anything else comes from a backup"


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """Where the parts of versions lie, and whose signatures count.

    An archive has no ``blobs``, and no folder that servers load weights from (``weights``, by set digest).
    """

    store: Store
    trust: Trust
    layout: OciLayout
    blobs: BlobStore | None = None
    weights: Callable[[Digest], Path] | None = None


def verify_version(
    held: Holdings, reference: str, policy: Policy, now: datetime, heard: Heard = lambda _count: None
) -> Verdict:
    """What all checks of a version came to: fail when anything is wrong, inconclusive when only policy waits.

    ``now`` is an aware time; ``heard`` hears how many bytes each step read, ``size_of`` in all. Raises
    UsageError for a version that there is not, InfrastructureError when the store cannot be reached.
    """
    version, record = _read_record(held.store, reference)
    if version is None:
        return Verdict.of([record])
    said = read_said(held.store, held.trust, version)
    missing = missing_evidence(policy, Alias.PRODUCTION, version, said.evidence, now, held.trust)
    findings = [record, *contents(held, version, said, heard), *_standing(held, version), _policy(missing)]
    return Verdict.of(findings)


def contents(held: Holdings, version: ModelVersion, said: Said, heard: Heard) -> Iterator[Finding]:
    """The checks of what a version is made of, wherever it lies: in a home, or in an archive."""
    trust = held.trust
    yield _judged("release", lambda: check_release(version, said))
    yield from _evidence(said)
    yield _judged("weights signature", lambda: check_weights_signature(version, said))
    yield _judged("source", lambda: _check_source(held, version, heard))
    yield _judged("image", lambda: _check_image(held, version))
    yield _judged("weights", lambda: _check_weights(held, version, heard))
    yield _judged("attached", lambda: check_attached(held.layout, version, said, trust))


def size_of(held: Holdings, version: ModelVersion) -> int:
    """About how many bytes the checks of a version read; manifests that cannot be read count for nothing."""
    total = 0
    for digest in (version.source_manifest, version.weights_manifest):
        with contextlib.suppress(Refused):
            files = check_manifest(held.store, digest).files.values()
            all_here = digest == version.weights_manifest
            total += sum(e.size for e in files if all_here or (held.blobs and held.blobs.has(e.digest)))
    return total


def check_manifest(store: Store, digest: Digest) -> Manifest:
    """The list of files a record names; Refused when it is gone or changed, as the checks say it."""
    store.get(manifest_key(digest))  # a store that cannot be reached is no damage
    try:
        return load_manifest(store, digest)
    except InfrastructureError as damage:
        raise Refused(damage.what, why=damage.why, next_step=damage.next_step) from damage


def _read_record(store: Store, reference: str) -> tuple[ModelVersion | None, Finding]:
    try:
        name, number = parse_reference(reference)
        reached = store.get(f"versions/{name}/{number:06d}.json")
    except ValueError:
        reached = None
    try:
        version = get_version(store, reference)
    except InfrastructureError as damage:
        if reached is None:
            raise
        return None, _failed("record", str(damage))
    return version, _passed("record", f"{version.record_digest} is as it was written")


def _standing(held: Holdings, version: ModelVersion) -> Iterator[Finding]:
    """The checks of what points at a version."""
    key = f"versions-by-content/{version.name}/{version.content_digest.hex}"
    yield _judged("index", lambda: _check_index(version, key, held.store.get(key)))
    problems = check_log(held.store, held.trust, version.name, version.gpu_class)
    yield from (_failed("aliases", f"{problem} Next: {_MOVED}.") for problem in problems)
    if not problems:
        yield _passed("aliases", f"every move on {version.gpu_class} is signed and follows the one before")


def _check_index(version: ModelVersion, key: str, data: bytes | None) -> str:
    if data != str(version.number).encode():
        found = "missing" if data is None else f"{data[:40]!r}"
        what = f"The index from content to number has another number for {version.reference}"
        raise Refused(what, why=f"{key} is {found}", next_step="`headgate reconcile --apply` writes it anew")
    return "its content leads to its number"


def _evidence(said: Said) -> Iterator[Finding]:
    counted = said.counted
    yield from (_failed("evidence", sentence) for sentence in said.damaged)
    yield from (_judged(f"{e.kind} evidence", partial(check_record, e, counted)) for e in said.evidence)


def _check_source(held: Holdings, version: ModelVersion, heard: Heard) -> str:
    source = check_manifest(held.store, version.source_manifest)
    if version.source_set not in (None, source.set_digest):
        what = f"The source manifest lists files with the set digest {source.set_digest}"
        raise Refused(what, why=f"the record says {version.source_set}", next_step=_RESTORE)
    kept = 0
    for path, entry in source.files.items():
        if held.blobs and held.blobs.has(entry.digest):
            _check_blob(held.blobs, path, entry.digest)
            heard(entry.size)
            kept += 1
    return f"{len(source.files)} files in its manifest, {kept} of them kept here and read again"


def _check_image(held: Holdings, version: ModelVersion) -> str:
    check_config(held.layout, version)
    check_listed(held.layout, version.image)
    return f"{version.image} has the version's labels"


def _check_weights(held: Holdings, version: ModelVersion, heard: Heard) -> str:
    weights = check_manifest(held.store, version.weights_manifest)
    if weights.set_digest != version.weights_set:
        what = f"The weights manifest lists files with the set digest {weights.set_digest}"
        raise Refused(what, why=f"the record says {version.weights_set}", next_step=_RESTORE)
    files = read_files(held.layout, version.image, heard)
    _refuse_differences(f"The image {version.image}", weights.diff(manifest_of(files)))
    for path, file in files.items():
        # What the layer was streamed from has just been read.
        if held.blobs and held.layout.streamed_from(file.layer.digest) != file.entry.digest:
            _check_blob(held.blobs, path, file.entry.digest)
    if held.blobs and held.weights:
        folder = held.weights(version.weights_set)
        _refuse_differences(f"The folder {folder}", _differences(folder, weights, held.blobs))
    return (
        f"{len(weights.files)} files, {weights.size} bytes: every byte of the image was read and is as signed"
    )


def _check_blob(blobs: BlobStore, path: str, digest: Digest) -> None:
    if not blobs.has(digest):
        why = "a server could not load it"
        raise Refused(f"The blob {digest} of {path} is missing", why=why, next_step=_RESTORE)
    found = Digest.of_file(blobs.path(digest))
    if found != digest:
        why = f"its content has the digest {found}"
        next_step = f"remove {blobs.path(digest)} and release the version again"
        raise Refused(f"The blob {digest} of {path} has been changed", why=why, next_step=next_step)


def _differences(folder: Path, weights: Manifest, blobs: BlobStore) -> Iterator[str]:
    """What servers would load from the folder that is not the weights; a link to a blob is the blob."""
    if not folder.is_dir():
        return
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    yield from (f"{path} was not expected" for path in sorted(found.keys() - weights.files.keys()))
    for path, entry in weights.files.items():
        if path not in found:
            yield f"{path} is missing"
        elif (
            not found[path].samefile(blobs.path(entry.digest)) and Digest.of_file(found[path]) != entry.digest
        ):
            yield f"{path} differs"


def _refuse_differences(where: str, sentences: Iterable[str]) -> None:
    if found := list(sentences):
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        why = f"{'; '.join(found[:_SHOWN])}{more}"
        raise Refused(f"{where} does not hold the weights of the record", why=why, next_step=_RESTORE)


def _policy(missing: list[str]) -> Finding:
    if not missing:
        return _passed("policy", "it may be in production")
    message = f"It may not be in production: {'; '.join(missing)}."
    return Finding(name="policy", outcome=Outcome.INCONCLUSIVE, message=message)


def _judged(name: str, check: Callable[[], str]) -> Finding:
    try:
        return _passed(name, check())
    except Refused as problem:
        return _failed(name, str(problem))
    except OSError as problem:
        why = problem.strerror or str(problem)
        return _failed(name, f"{problem.filename} cannot be read: {why}. Next: {_RESTORE}.")


def _passed(name: str, message: str) -> Finding:
    return Finding(name=name, outcome=Outcome.PASS, message=message)


def _failed(name: str, message: str) -> Finding:
    return Finding(name=name, outcome=Outcome.FAIL, message=message)
