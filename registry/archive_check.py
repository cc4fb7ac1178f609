"""Whether an archive is what was exported, and whose word counts: all of it is read before any of it is kept.

What is damaged is told first, whoever signed it: nobody should be asked to trust a key for the sake of an
archive that is broken anyway. Only a whole one leads to the question whose keys those are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from judging.verdict import Finding, Outcome
from registry.archive_keys import refuse_uncounted
from registry.archive_layout import Archived, damaged, open_layout, read_versions, told
from registry.archive_seal import difference, read_seal
from registry.digest import Digest
from registry.errors import HeadgateError, Refused
from registry.evidence import Evidence, parse_record, subjects_of
from registry.manifests import manifest_key
from registry.memory_store import MemoryStore
from registry.oci_layout import OciLayout
from registry.predicates import ALIAS_MOVE
from registry.publish import get_version
from registry.trust import Trust
from registry.verify import Holdings, made_of, vouched
from registry.verify_evidence import Said, read_attached, read_said
from registry.verify_image import Heard, image_parts
from registry.version import ModelVersion, parse_reference
from registry.version_record import reference_of, version_key

_SHOWN = 3  # reasons worth naming


@dataclass(frozen=True)
class Arrival:
    """A version in an archive that was found whole, and signed by keys trusted here.

    ``seal`` says who exported it, when, and which records that were; all of them are here.
    """

    version: ModelVersion
    seal: Evidence
    records: MemoryStore


def check_archive(trust: Trust, folder: Path, heard: Heard) -> list[Arrival]:
    """Every version of an archive, read to the last byte.

    ``heard`` hears how many bytes each step read. Raises Refused when anything is damaged, missing, or not
    signed by keys that count here; UsageError when the folder is no archive.
    """
    found = read_versions(folder)
    arrivals = [_whole(trust, folder, archived, heard) for archived in found]
    said = [read_said(arrival.records, trust, arrival.version) for arrival in arrivals]
    signed = [[*about.evidence, arrival.seal] for about, arrival in zip(said, arrivals, strict=True)]
    names = {key: name for archived in found for key, name in archived.keys.items()}
    refuse_uncounted(folder, trust, signed, names)
    for arrival, about in zip(arrivals, said, strict=True):
        _refuse_unvouched(folder, trust, arrival, about)
    return arrivals


def _whole(trust: Trust, folder: Path, archived: Archived, heard: Heard) -> Arrival:
    """A version of which every byte is what was exported; whose word counts is another matter."""
    layout = open_layout(folder)
    try:
        reference = _reference(archived)
        records = MemoryStore(dict(_wanted(archived, trust)))
        version = get_version(records, reference)
        _refuse_forged(read_seal(archived.seal, version, _for_everything(trust)), trust)
        seal = read_seal(archived.seal, version, trust)
        _refuse_strange(archived, version)
        if why := difference(seal, archived.records):
            raise ValueError(why)
        _refuse_absent(layout, version)
        read_attached(layout, version)
    except (HeadgateError, ValueError) as problem:
        raise damaged(folder, f"{archived.tag}: {told(problem)}") from problem
    held = Holdings(store=records, trust=trust, layout=layout)
    if reasons := _reasons(made_of(held, version, heard)):
        raise damaged(folder, f"{archived.tag}: {reasons}")
    return Arrival(version, seal, records)


def _reference(archived: Archived) -> str:
    found = [*filter(None, map(reference_of, archived.records))]
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} records of versions instead of one")
    parse_reference(found[0])
    return found[0]


def _wanted(archived: Archived, trust: Trust) -> Iterator[tuple[str, bytes]]:
    """The records without moves of aliases by keys not known here: another house's business."""
    everything = _for_everything(trust)
    for key, data in archived.records.items():
        if not key.startswith("evidence/"):
            yield key, data
            continue
        evidence = parse_record(key, data, Digest(key.split("/")[1]), everything)
        _refuse_forged(evidence, trust)
        if evidence.kind != ALIAS_MOVE or trust.find(evidence.key_id):
            yield key, data


def _for_everything(trust: Trust) -> Trust:
    """The same keys, whatever they may sign: under them only a signature that does not hold is doubtful."""
    return Trust(tuple(replace(key, kinds=None) for key in trust.keys))


def _refuse_forged(evidence: Evidence, trust: Trust) -> None:
    if evidence.doubt and trust.find(evidence.key_id):
        raise ValueError(f"the {evidence.kind} evidence {evidence.digest} is no such thing: {evidence.doubt}")


def _refuse_strange(archived: Archived, version: ModelVersion) -> None:
    about = {f"evidence/{subject.hex}" for subject in subjects_of(version)}
    own = {manifest_key(d) for d in (version.source_manifest, version.weights_manifest)}
    own.add(version_key(version.name, version.number))
    if strange := [k for k in archived.records if k not in own and k.rpartition("/")[0] not in about]:
        raise ValueError(f"it holds {strange[0]}, which is no part of {version.reference}")


def _refuse_absent(layout: OciLayout, version: ModelVersion) -> None:
    if not layout.has(version.image):
        raise ValueError(f"the manifest {version.image} of its image is missing")
    config, layers = image_parts(layout, version.image)
    if gone := [str(part.digest) for part in (config, *layers) if not layout.has(part.digest)]:
        raise ValueError(f"parts of its image are missing: {', '.join(gone)}")


def _refuse_unvouched(folder: Path, trust: Trust, arrival: Arrival, said: Said) -> None:
    held = Holdings(store=arrival.records, trust=trust, layout=open_layout(folder))
    if reasons := _reasons(vouched(held, arrival.version, said)):
        reference = arrival.version.reference
        next_step = (
            f"where it comes from, `headgate verify {reference}` tells what to mend; then export it again"
        )
        raise Refused(
            f"Nothing is imported from {folder}", why=f"{reference}: {reasons}", next_step=next_step
        )


def _reasons(findings: Iterable[Finding]) -> str:
    """What speaks against an archive, without the advice for a home; nothing when nothing does."""
    wrong = [*dict.fromkeys(told(f.message) for f in findings if f.outcome is not Outcome.PASS)]
    more = f" And {len(wrong) - _SHOWN} more." if len(wrong) > _SHOWN else ""
    return f"{' '.join(wrong[:_SHOWN])}{more}"
