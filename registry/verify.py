"""Re-checks a version from its bytes up: record, manifests, files, image, signatures, evidence, aliases.

Every check ends in a Finding: what was looked at and found whole, or what is wrong, why, and what to do.
One that fails hides no other. A store that cannot be reached is no finding, it is an InfrastructureError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from judging.verdict import Finding, Outcome, Verdict
from registry.alias import Alias
from registry.alias_chain import Chain
from registry.alias_history import RECORD_HELPS, Log, faults, log_of
from registry.blobs import BlobStore
from registry.content_index import is_indexed, may_be_indexed
from registry.counting import Case
from registry.digest import Digest
from registry.errors import InfrastructureError, Refused
from registry.lost_evidence import check_kept
from registry.manifest import Manifest
from registry.manifests import load_manifest, manifest_key
from registry.named_version import named_version
from registry.numbers import read_index
from registry.oci_layout import OciLayout
from registry.open_case import open_case
from registry.plain_text import counted
from registry.policy import Policy, exemption, missing_evidence
from registry.publish import RecordGone
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
from registry.verify_image import Heard, NotHere, check_config, check_listed, check_manifest_kept
from registry.verify_weights import WeightsPlaces, check_blob, check_weights, not_here
from registry.version import ModelVersion, parse_reference
from registry.version_record import index_key, version_key

POLICY = "policy"
"""The name of the finding that says whether a version may be in production."""
_RESTORE = "restore it from a backup, or release the version again"


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
    """What all checks of a version came to: fail when anything is wrong, whatever else could not be checked.

    It is inconclusive when nothing is, and policy waits or parts of the version are not on this machine.
    ``now`` is an aware time; ``heard`` hears how many bytes each step read, ``size_of`` in all. Raises
    UsageError for a version that there is not, InfrastructureError when the store cannot be reached.
    """
    version, record = _read_record(held, reference)
    if version is None:
        return Verdict.of([record])
    said = read_said(held.store, held.trust, version)
    chain = Chain(held.store, held.trust, version.name, version.gpu_class)
    log = log_of(chain)
    case = open_case(held.store, version, held.trust, now, found=said.evidence, log=log)
    findings = [record, *contents(held, version, said, heard), *_standing(held, version, said, chain, log)]
    return Verdict.of([*findings, _policy(policy, case)])


def contents(held: Holdings, version: ModelVersion, said: Said, heard: Heard) -> Iterator[Finding]:
    """The checks of what a version is made of, wherever it lies: in a home, or in an archive."""
    yield from vouched(held, version, said)
    yield from made_of(held, version, heard)


def vouched(held: Holdings, version: ModelVersion, said: Said) -> Iterator[Finding]:
    """The checks of what is said about a version, and of whose word counts."""
    yield _judged("release", lambda: check_release(version, said))
    yield from _evidence(said)
    yield _judged("weights signature", lambda: check_weights_signature(version, said))
    yield _judged("attached", lambda: check_attached(held.layout, version, said, held.trust))


def made_of(held: Holdings, version: ModelVersion, heard: Heard) -> Iterator[Finding]:
    """The checks of bytes against digests, whoever signed for them."""
    yield _judged("source", lambda: _check_source(held, version, heard))
    yield _judged("image", lambda: _check_image(held, version))
    yield _judged("weights", lambda: _check_weights(held, version, heard))


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


def _read_record(held: Holdings, reference: str) -> tuple[ModelVersion | None, Finding]:
    try:
        name, number = parse_reference(reference)
        reached = held.store.get(version_key(name, number))
    except ValueError:
        reached = None
    try:
        version = named_version(held.store, held.trust, reference)
    except InfrastructureError as damage:
        if reached is None and not isinstance(damage, RecordGone):
            raise
        return None, _failed("record", str(damage))
    return version, _passed("record", f"{version.record_digest} is as it was written")


def _standing(held: Holdings, version: ModelVersion, said: Said, chain: Chain, log: Log) -> Iterator[Finding]:
    """The checks of what points at a version."""
    yield _judged("index", lambda: _check_index(held.store, version, said))
    kept = {*(e.digest for e in said.evidence), *said.damaged_digests}  # damaged is not removed
    yield _judged("kept", lambda: check_kept(held.store, held.layout, version, kept, held.trust))
    problems = faults(chain, log)
    yield from (_failed("aliases", str(problem)) for problem in problems)
    if not problems:
        yield _passed("aliases", f"every move on {version.gpu_class} is signed and follows the one before")


def _check_index(store: Store, version: ModelVersion, said: Said) -> str:
    key = index_key(version)
    data = store.get(key)
    if not is_indexed(version, {key: data}):
        found = "missing" if data is None else f"{data[:40]!r}"
        what = f"The index from content to number has another number for {version.reference}"
        index = read_index(store, version.name) if version.predates_signing else {}
        published = may_be_indexed(version, said, index)
        step = "`headgate reconcile --apply` writes it anew" if published else RECORD_HELPS
        raise Refused(what, why=f"{key} is {found}", next_step=step)
    return "its content leads to its number"


def _evidence(said: Said) -> Iterator[Finding]:
    counted = said.counted
    yield from (_failed("evidence", str(damage)) for damage in said.damaged.values())
    yield from (_judged(f"{e.kind} evidence", partial(check_record, e, counted)) for e in said.evidence)


def _check_source(held: Holdings, version: ModelVersion, heard: Heard) -> str:
    source = check_manifest(held.store, version.source_manifest)
    if version.source_set not in (None, source.set_digest):
        what = f"The source manifest lists files with the set digest {source.set_digest}"
        raise Refused(what, why=f"the record says {version.source_set}", next_step=_RESTORE)
    kept = 0
    for path, entry in source.files.items():
        if held.blobs and held.blobs.has(entry.digest):
            check_blob(held.blobs, path, entry.digest)
            heard(entry.size)
            kept += 1
    return f"{counted(len(source.files), 'file')} in its manifest, {kept} kept here and read again"


def _check_image(held: Holdings, version: ModelVersion) -> str:
    check_manifest_kept(held.layout, version.image)
    try:
        check_listed(held.layout, version.image)
        check_config(held.layout, version)
    except NotHere as absent:
        raise not_here(f"Parts of the image {version.image}", version) from absent
    return f"{version.image} has the version's labels"


def _check_weights(held: Holdings, version: ModelVersion, heard: Heard) -> str:
    weights = check_manifest(held.store, version.weights_manifest)
    if weights.set_digest != version.weights_set:
        what = f"The weights manifest lists files with the set digest {weights.set_digest}"
        raise Refused(what, why=f"the record says {version.weights_set}", next_step=_RESTORE)
    folder = held.weights(version.weights_set) if held.weights else None
    return check_weights(WeightsPlaces(held.layout, held.blobs, folder), version, weights, heard)


def _policy(policy: Policy, case: Case) -> Finding:
    missing, exempt = missing_evidence(policy, Alias.PRODUCTION, case), exemption(case)
    if not missing:
        return _passed(POLICY, f"it may be in production; {exempt}" if exempt else "it may be in production")
    message = f"It may not be in production: {'; '.join(missing)}."
    return Finding(name=POLICY, outcome=Outcome.INCONCLUSIVE, message=message)


def _judged(name: str, check: Callable[[], str]) -> Finding:
    try:
        return _passed(name, check())
    except NotHere as absent:
        return Finding(name=name, outcome=Outcome.INCONCLUSIVE, message=str(absent))
    except Refused as problem:
        return _failed(name, str(problem))
    except OSError as problem:
        why = problem.strerror or str(problem)
        return _failed(name, f"{problem.filename} cannot be read: {why}. Next: {_RESTORE}.")


def _passed(name: str, message: str) -> Finding:
    return Finding(name=name, outcome=Outcome.PASS, message=message)


def _failed(name: str, message: str) -> Finding:
    return Finding(name=name, outcome=Outcome.FAIL, message=message)
