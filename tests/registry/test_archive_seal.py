"""The exporter's list: nothing can be taken out of an archive on the way, and nothing put in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from judging.verdict import Finding, Outcome, Verdict
from registry.alias import Alias
from registry.archive import import_archive
from registry.archive_layout import read_versions
from registry.archive_seal import Exporter, read_seal, seal_export
from registry.bundle import Signer, seal, unseal
from registry.digest import Digest
from registry.errors import Refused
from registry.evidence import Evidence, list_evidence, record
from registry.predicates import APPROVAL, EXPORT, QUALITY, ROLLOUT, SCAN
from registry.publish import get_version, list_versions
from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey
from registry.trust_file import write_trust
from tests.simulators.archives import add_blob, advised, bring, export, ignore, rewrite
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import draft
from tests.simulators.released import AT, WHEN, TinyHome, move, passed, release, tiny_home

KEY, SEALS = "headgate.store-key", "headgate.seals"
LATER = AT.replace("2026-11-20", "2026-11-21")


@pytest.fixture
def here(tmp_path: Path) -> TinyHome:
    """A home with a version that was rejected, rolled back, and failed a rescan."""
    made = tiny_home(tmp_path / "here")
    version = release(made)
    no = Verdict.of([Finding(name="no", outcome=Outcome.FAIL, message="no")])
    for kind in (APPROVAL, ROLLOUT, SCAN):
        said = Evidence(kind=kind, subject=version.release_digest, verdict=no, facts={"at": LATER})
        record(made.store, made.signer, said)
    release(made, weights={"config.json": b"{}"})
    move(made, Alias.PRODUCTION, version)  # back from the next one
    return made


def seal_in(archive: Path, change: Callable[[bytes], bytes]) -> None:
    """Put another list in the place of the exporter's."""
    (archived,) = read_versions(archive)
    new = add_blob(archive, change(archived.seal or b""))
    rewrite(
        archive,
        lambda layers: [layer.update(new) for layer in layers if SEALS in layer.get("annotations", {})],
    )


def trusts(at: TinyHome, key: TrustedKey) -> None:
    """Let a key's signatures count there."""
    write_trust(at.home.keys / "trusted.yaml", Trust((*at.trust.keys, key)))


def refused(there: TinyHome, archive: Path) -> str:
    """The error an import ends with, once nothing was written."""
    with pytest.raises(Refused) as error:
        bring(there, archive)
    assert list_versions(there.store) == []
    assert list(there.store.list("")) == []
    return str(error.value)


def test_what_belongs_to_a_version_is_signed(there: TinyHome, archive: Path) -> None:
    """Who exported it, when, and every record; whoever imports it is told."""
    (arrival,) = import_archive(there.held, archive, ignore)
    (archived,) = read_versions(archive)
    facts = dict(arrival.seal.facts)
    assert facts.pop("records") == sorted(str(Digest.of_bytes(data)) for data in archived.records.values())
    assert facts == {"at": AT, "version": "tiny/1", "who": "ada@workshop", "run": None}
    assert (arrival.seal.kind, arrival.seal.signer) == (EXPORT, "first-house")
    assert arrival.seal.subject == arrival.version.record_digest


def test_the_list_stays_in_the_archive(there: TinyHome, archive: Path) -> None:
    """How a version travelled is nothing that is said about it."""
    (version,) = bring(there, archive)
    assert EXPORT not in {e.kind for e in list_evidence(there.store, version.record_digest, there.trust)}


def test_no_record_can_be_taken_out(there: TinyHome, archive: Path) -> None:
    """Whichever it is: a rejection, a rollback, a rescan that failed, the move back; its digest is named."""
    (archived,) = read_versions(archive)
    index = (archive / "index.json").read_bytes()
    for key, data in archived.records.items():
        rewrite(archive, lambda layers, k=key: _remove(layers, KEY, k))  # type: ignore[misc]
        said = refused(there, archive)
        if key.startswith("evidence/"):
            assert f"records that were exported are missing: {Digest.of_bytes(data)}" in said
        (archive / "index.json").write_bytes(index)
    assert len(archived.records) > 14
    assert bring(there, archive)


def test_no_record_can_be_put_in(here: TinyHome, there: TinyHome, archive: Path) -> None:
    """A trusted key signed it, but it was not part of the export."""
    version = get_version(here.store, "tiny/1")
    better = Evidence(
        kind=SCAN, subject=version.release_digest, verdict=passed(SCAN), facts={"at": LATER, "n": 1}
    )
    bundle = seal(better.statement, here.signer)
    key = f"evidence/{version.release_digest.hex}/{Digest.of_bytes(bundle).hex}.json"
    layer = {**add_blob(archive, bundle), "annotations": {KEY: key}}
    rewrite(archive, lambda layers: layers.append(layer))
    assert f"records were added after the export: {key}" in refused(there, archive)


def test_an_archive_without_a_list_is_refused(there: TinyHome, archive: Path) -> None:
    """Taken out with what it would have told, or written by an older Headgate."""
    (archived,) = read_versions(archive)
    rewrite(archive, lambda layers: _remove(layers, SEALS, "tiny/1"))
    assert "nobody has signed which records belong to it" in refused(there, archive)
    assert archived.seal


def test_the_list_of_another_version_is_none(here: TinyHome, there: TinyHome, archive: Path) -> None:
    """Signed by the right key, about something else."""
    export(here, "tiny/2", archive.parent / "second")
    (other,) = read_versions(archive.parent / "second")
    seal_in(archive, lambda _data: other.seal or b"")
    assert "its list of records is export about" in refused(there, archive)


@pytest.mark.parametrize("records", [None, "sha256:1", [1], [["sha256:1"]], {"a": 1}])
def test_a_list_that_is_none_is_refused(
    here: TinyHome, there: TinyHome, archive: Path, records: object
) -> None:
    """Whoever signed it."""
    subject = get_version(here.store, "tiny/1").record_digest
    said = Evidence(kind=EXPORT, subject=subject, facts={"at": AT, "records": records})
    seal_in(archive, lambda _data: seal(said.statement, here.signer))
    assert "its list of records cannot be read" in refused(there, archive)


def test_evidence_of_another_kind_is_no_list(here: TinyHome, there: TinyHome, archive: Path) -> None:
    """A field of that name in it says nothing."""
    subject = get_version(here.store, "tiny/1").record_digest
    said = Evidence(kind=APPROVAL, subject=subject, facts={"at": AT, "records": []})
    seal_in(archive, lambda _data: seal(said.statement, here.signer))
    assert "its list of records is approval about" in refused(there, archive)


def test_a_list_that_was_changed_does_not_count(there: TinyHome, archive: Path) -> None:
    """Nor one that is no signed statement at all."""
    stranger, _ = signer_and_trust()
    seal_in(archive, lambda data: _resigned(data, stranger))
    assert "does not match its content" in refused(there, archive)
    seal_in(archive, lambda _data: b"{}")
    assert "not a signed statement" in refused(there, archive)


def test_an_exporter_that_is_not_trusted_lets_nothing_in(
    here: TinyHome, there: TinyHome, tmp_path: Path
) -> None:
    """Their key lies in the archive as a file, beside those of who signed the rest."""
    export(here, "tiny/1", tmp_path / "archive", signer=KeySigner.generate())
    said = refused(there, tmp_path / "archive")
    assert "keys not trusted here" in said
    (command,) = advised(said)
    path, _, name, *kinds = shlex.split(command)[3:]
    assert name.startswith("exporter-")
    assert kinds == ["--for", EXPORT]
    trusts(there, TrustedKey(name, Path(path).read_text(), frozenset({EXPORT})))
    assert bring(there, tmp_path / "archive")


def test_a_key_may_be_trusted_for_approvals_and_not_for_exports(
    here: TinyHome, there: TinyHome, tmp_path: Path
) -> None:
    """Who may say yes to a version may not say what was ever said about it."""
    bob = KeySigner.generate()
    export(here, "tiny/1", tmp_path / "archive", signer=bob)
    trusts(there, TrustedKey("bob", bob.public_pem, frozenset({APPROVAL})))
    assert "the key bob may not sign export" in refused(there, tmp_path / "archive")


def test_exporting_again_signs_what_is_new(here: TinyHome, there: TinyHome, archive: Path) -> None:
    """At the new time; with nothing new, the list is the one that was there."""
    export(here, "tiny/1", archive, now=WHEN + timedelta(hours=1))
    (arrival,) = import_archive(there.held, archive, ignore)
    assert arrival.seal.facts["at"] == AT
    later = Evidence(kind=QUALITY, subject=arrival.version.release_digest, facts={"at": LATER})
    record(here.store, here.signer, later)
    export(here, "tiny/1", archive, now=WHEN + timedelta(hours=2))
    (arrival,) = import_archive(there.held, archive, ignore)
    assert arrival.seal.facts["at"] == (WHEN + timedelta(hours=2)).isoformat(timespec="microseconds")


def test_a_damaged_list_is_signed_anew(here: TinyHome, there: TinyHome, archive: Path) -> None:
    """Exporting again is the cure that an import recommends."""
    seal_in(archive, lambda _data: b"{}")
    export(here, "tiny/1", archive)
    assert bring(there, archive)


def test_a_list_by_another_key_is_signed_anew() -> None:
    """After a rotation, the key of today vouches."""
    version, records = draft().numbered(1), {"a": b"1", "b": b"2"}
    first, second = (Exporter(signer=KeySigner.generate(), who="ada", now=WHEN) for _ in range(2))
    before = seal_export(version, records, first, None)
    assert seal_export(version, records, first, before) == before
    again = seal_export(version, records, second, before)
    assert read_seal(again, version, Trust((second.key,))).signer == second.key.name


def _remove(layers: list[dict[str, Any]], annotation: str, value: str) -> None:
    layers[:] = [layer for layer in layers if layer.get("annotations", {}).get(annotation) != value]


def _resigned(data: bytes, stranger: Signer) -> bytes:
    """The statement under a stranger's signature, and the right key's name."""
    forged = json.loads(seal(unseal(data, Trust()).statement, stranger))
    forged["verificationMaterial"] = json.loads(data)["verificationMaterial"]
    return json.dumps(forged).encode()
