"""Signed statements that are elsewhere and not in the store: a rejection that somebody removed there.

Evidence is only ever added. So what a trusted key said about a version, and the store has not, was removed
from it, or the store is an older backup. Copies lie beside the image and, of objections, in each home that
made or read them: they are the same bytes, and put it back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

from registry.digest import Digest
from registry.errors import HeadgateError, Refused
from registry.evidence import Evidence, read_evidence, record_key, remembered, subjects_of
from registry.oci_layout import OciLayout
from registry.plain_text import counted
from registry.predicates import APPROVAL
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion


def lost_evidence(
    copies: Mapping[Digest, bytes], version: ModelVersion, kept: Collection[Digest | None], trust: Trust
) -> dict[Digest, Evidence]:
    """What trusted keys said about a version, of these copies, that is not ``kept``."""
    about = subjects_of(version)
    found = {digest: _read(data, trust) for digest, data in copies.items() if digest not in kept}
    return {digest: e for digest, e in found.items() if e and not e.doubt and e.subject in about}


def check_kept(
    store: Store, layout: OciLayout, version: ModelVersion, kept: Collection[Digest | None], trust: Trust
) -> str:
    """That what the store has (``kept``) is all there was; Refused when something was removed from it."""
    seen, beside = remembered(store, version), _beside(layout, version)
    only_beside = {digest: data for digest, data in (beside or {}).items() if digest not in seen}
    places = {"this home has seen": seen, f"attached to the image {version.image} is": only_beside}
    lost = {place: lost_evidence(copies, version, kept, trust) for place, copies in places.items()}
    if why := [f"{place} {in_words(found.values())}" for place, found in lost.items() if found]:
        raise Refused(
            f"Evidence about {version.reference} was removed from the store",
            why="; ".join(why),
            next_step="`headgate reconcile --apply` puts it back, or restore the store from a backup",
        )
    if beside is None:
        return "what is attached to the image cannot be read"  # which is told where it is checked
    return f"nothing was removed: {counted(len(beside | seen), 'statement')} elsewhere as well"


def put_beside(store: Store, layout: OciLayout, version: ModelVersion, said: Digest, digest: Digest) -> None:
    """Lay a record about ``said`` beside the image as well, if that is here: a copy for ``check_kept``.

    What the layout refuses, ``reconcile`` finds and mends: it is no reason to fail what was recorded.
    """
    data = store.get(record_key(said, digest))
    with contextlib.suppress(HeadgateError, OSError):
        if data is not None and layout.has(version.image):
            layout.put_referrer(version.image, data)


def put_back(store: Store, subject: Digest, data: bytes) -> bool:
    """Keep a record again, as it was and where it was, in place of a damaged one; whether it is there now."""
    key = record_key(subject, Digest.of_bytes(data))
    found = store.get(key)
    return found == data or store.compare_and_swap(key, found, data)


def in_words(lost: Collection[Evidence]) -> str:
    """Each statement by what it is, its signer and its digest."""
    return ", ".join(sorted(f"{_word(e)} by {e.signer} ({e.digest})" for e in lost))


def _word(said: Evidence) -> str:
    if said.kind == APPROVAL and said.objects:
        return "a rejection"
    return f"{said.kind} ({said.verdict.outcome})" if said.verdict and said.objects else said.kind


def _beside(layout: OciLayout, version: ModelVersion) -> dict[Digest, bytes] | None:
    """The statements attached to the image, or None when they cannot be read."""
    try:
        return layout.bundles(version.image)
    except HeadgateError:
        return None


def _read(data: bytes, trust: Trust) -> Evidence | None:
    try:
        return read_evidence(data, trust)
    except ValueError:
        return None  # another tool's
