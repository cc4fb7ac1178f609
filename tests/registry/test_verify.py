"""Verification: a flipped byte anywhere is caught, and what is not caught is proved to be harmless."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from judging.verdict import Outcome, Verdict
from registry.alias import Alias
from registry.approval import approval
from registry.bundle import seal
from registry.digest import Digest
from registry.errors import UsageError
from registry.evidence import Evidence, record, record_key
from registry.policy import DEFAULT, Policy, Requirement
from registry.predicates import APPROVAL, QUALITY, RELEASE
from registry.publish import get_version, publish
from registry.signing import KeySigner
from registry.trust import Trust
from registry.trust_file import write_trust
from registry.verify import size_of, verify_version
from registry.version import ModelVersion
from tests.simulators.crashing_store import CountingStore
from tests.simulators.records import digest, draft
from tests.simulators.released import AT, WHEN, TinyHome, move, passed, release, release_statement, tiny_home

CAUGHT = {
    "version record": r"store/versions/.*",
    "content index": r"store/versions-by-content/.*",
    "manifests": r"store/manifests/.*",
    "evidence": r"store/evidence/.*",
    "alias record": r"store/aliases/.*",
    "alias log": r"store/audit/.*",
    "files": r"blobs/sha256/.*",
    "image, its config, its referrers": r"oci/blobs/sha256/.*",
}
"""Files in which no byte can change unnoticed, by what they are."""

PROVED = {
    "layer records": r"oci/file-layers/.*",
    "image index": r"oci/index\.json",
    "trusted keys": r"keys/trusted\.yaml",
}
"""Files in which a few bytes mean nothing to Headgate: for each, a test shows which, and that it is so."""

OUTSIDE = {
    r"store/versions-newest/.*": "a hint: publishing goes on above it, or looks for itself",
    r"oci/oci-layout": "read by other tools only, which refuse it loudly; the next tag writes it anew",
    r"cache/weights/.*": "hard links to the blobs: the same bytes",
    r"(.*/)?\.[a-z.-]+(/.*)?": "locks, which are empty",
}
"""Files that verify does not read, and why that is safe."""

WEIGHTS_BYTES = {CAUGHT["files"], PROVED["layer records"]}
"""Files that may lie in another home."""
SOURCE_BLOBS = {Digest.of_bytes(b"S" * 700).hex, Digest.of_bytes(b'{"model_type": "llama"}').hex}
UNCHECKED = ["attached", "image", "weights"]

_POSITIONS = 40  # bytes flipped per file; every byte of short ones


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> TinyHome:
    """A home with one released version; every test puts back what it changed."""
    made = tiny_home(tmp_path_factory.mktemp("verify") / "home")
    release(made)
    return made


@pytest.fixture
def copy(at: TinyHome, tmp_path: Path) -> TinyHome:
    """A home of the test's own with the same version."""
    made = tiny_home(tmp_path / "home")
    release(made)
    return made


def verdict(at: TinyHome, reference: str = "tiny/1", policy: Policy = DEFAULT) -> Verdict:
    return verify_version(at.held, reference, policy, WHEN)


def files(at: TinyHome, pattern: str) -> list[Path]:
    found = sorted(p for p in at.home.root.rglob("*") if p.is_file() and re.fullmatch(pattern, named(at, p)))
    return [path for path in found if path not in garbage(at)]


def garbage(at: TinyHome) -> set[Path]:
    """Blobs of the layout that nothing names any more, such as older lists of referrers."""
    waiting, reached = list(at.layout.tagged().values()), set()
    while waiting:
        descriptor = waiting.pop()
        reached.add(descriptor.digest)
        waiting += at.layout.parts(descriptor)
    return {path for digest, path in at.layout.kept() if digest not in reached}


def named(at: TinyHome, path: Path) -> str:
    return path.relative_to(at.home.root).as_posix()


def flips(path: Path) -> Iterator[tuple[str, bytes]]:
    """One byte of the file changed at a time, in place, and put back afterwards; an empty file grows."""
    data = path.read_bytes()
    step = max(1, len(data) // _POSITIONS)
    try:
        for number, position in enumerate(range(0, max(1, len(data)), step)):
            changed = bytearray(data or b"\0")
            changed[position] ^= 0x01 if number % 2 else 0x20
            path.write_bytes(changed)
            yield f"{path} byte {position}", bytes(changed)
    finally:
        path.write_bytes(data)


def unnoticed(at: TinyHome, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Every flip after which verify still finds nothing wrong."""
    paths = files(at, pattern)
    assert paths
    for path in paths:
        for where, changed in flips(path):
            try:
                if verdict(at).outcome is not Outcome.FAIL:
                    yield where, changed
            except UsageError:
                assert path.name == "trusted.yaml"  # a key file that cannot be read stops every command
    assert verdict(at).passed


def test_a_released_version_is_found_whole(at: TinyHome) -> None:
    """Every check is listed, and says what it looked at."""
    found = verdict(at)
    assert found.passed, found.reasons()
    assert {"record", "release", "weights", "image", "source", "aliases", "index", "policy"} <= {
        f.name for f in found.findings
    }


def test_progress_is_told_in_bytes(at: TinyHome) -> None:
    """What is heard adds up to a little more than what was announced: layers have headers."""
    heard: list[int] = []
    verify_version(at.held, "tiny/1", DEFAULT, WHEN, heard.append)
    version = _same(at)
    assert 0 < size_of(at.held, version) <= sum(heard) < size_of(at.held, version) + 20_000


def _same(at: TinyHome) -> ModelVersion:
    return get_version(at.store, "tiny/1")


def test_a_signed_version_that_the_index_does_not_name_costs_no_look_at_the_rest_of_it(
    tmp_path: Path,
) -> None:
    """Its signature says that it was published: the index may have thousands of claims."""
    at = tiny_home(tmp_path)
    release(at)
    [index] = at.store.list("versions-by-content/")
    at.store.delete(index)
    counted = CountingStore(at.store)
    held = replace(at.held, store=counted)
    assert not verify_version(held, "tiny/1", DEFAULT, WHEN).passed
    calls = counted.calls
    for number in range(5):
        at.store.put_if_absent(f"versions-by-content/tiny/{number:064d}", b"9")
    verify_version(held, "tiny/1", DEFAULT, WHEN)
    assert counted.calls == 2 * calls


@pytest.mark.parametrize("pattern", CAUGHT.values(), ids=CAUGHT)
def test_a_flipped_byte_is_caught(at: TinyHome, pattern: str) -> None:
    """Wherever it is in the file."""
    assert [where for where, _ in unnoticed(at, pattern)] == []


def test_a_flip_in_a_layer_record_that_is_not_caught_changes_no_layer(at: TinyHome) -> None:
    """Base64 has bits that mean nothing: the layer read through the record is the same."""
    for where, changed in unnoticed(at, PROVED["layer records"]):
        assert re.search(rb'=+"', changed), where


def test_a_flip_in_the_index_that_is_not_caught_only_renames_a_tag(at: TinyHome) -> None:
    """Versions name images by digest, so every image and referrer is still found by its own."""
    before = sorted(str(d) for d in at.layout.tagged().values())
    for where, changed in unnoticed(at, PROVED["image index"]):
        path = at.home.oci / "index.json"
        path.write_bytes(changed)
        assert sorted(str(d) for d in at.layout.tagged().values()) == before, where


def test_a_flip_in_the_trusted_keys_that_is_not_caught_trusts_the_same_keys(at: TinyHome) -> None:
    """It was in a comment, or in the name people know a key by."""
    before = {(key.key_id, key.kinds) for key in at.trust.keys}
    for where, changed in unnoticed(at, PROVED["trusted keys"]):
        (at.home.keys / "trusted.yaml").write_bytes(changed)
        assert {(key.key_id, key.kinds) for key in at.trust.keys} == before, where


def test_every_file_of_a_home_is_accounted_for(at: TinyHome) -> None:
    """A new kind of file is either verified, or this list says why it need not be."""
    known = [*CAUGHT.values(), *PROVED.values(), *OUTSIDE]
    found = [named(at, path) for path in at.home.root.rglob("*") if path.is_file()]
    assert [name for name in found if not any(re.fullmatch(p, name) for p in known)] == []


def test_what_verify_does_not_read_repairs_itself(copy: TinyHome) -> None:
    """The hint of the newest number, and the layout's marker."""
    for path in files(copy, r"store/versions-newest/.*|oci/oci-layout"):
        before = path.read_bytes()
        path.write_bytes(b"x" * len(before))
        assert verdict(copy).passed
    assert release(copy, weights={"config.json": b"{}"}).number == 2
    assert (copy.home.oci / "oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'


@pytest.mark.parametrize("pattern", [*CAUGHT.values(), PROVED["layer records"], PROVED["image index"]])
def test_a_missing_file_is_noticed(at: TinyHome, pattern: str) -> None:
    """Cut to nothing it is damage; gone it is as well, but for bytes: they are only not here to check."""
    image = _same(at).image
    parts = {image.hex, *(part.digest.hex for part in at.layout.contents(image))}
    for path in files(at, pattern):
        data = path.read_bytes()
        if path.name in SOURCE_BLOBS:
            continue
        path.unlink()
        bytes_only = pattern in WEIGHTS_BYTES or path.name in parts
        assert verdict(at).outcome is (Outcome.INCONCLUSIVE if bytes_only else Outcome.FAIL), path
        path.write_bytes(b"")
        assert verdict(at).outcome is Outcome.FAIL or not data, path
        path.write_bytes(data)


def test_a_home_without_the_images_says_what_it_did_not_check(copy: TinyHome) -> None:
    """Nothing is wrong there, and nothing was found whole either."""
    for folder in (copy.home.blobs, copy.home.oci, copy.home.cache):
        shutil.rmtree(folder)
    found = verdict(copy)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert [f.name for f in found.findings if f.outcome is Outcome.INCONCLUSIVE] == UNCHECKED
    assert all("not on this machine and were not checked" in reason for reason in found.reasons())
    assert "3 of 3 files of the weights" in " ".join(found.reasons())


def test_what_is_damaged_is_found_among_what_is_missing(copy: TinyHome) -> None:
    """However little is left."""
    blob = copy.blobs.path(Digest.of_bytes(b"w" * 1500))
    for path in (copy.home.blobs / "sha256").iterdir():
        if path != blob:
            path.unlink()
    shutil.rmtree(copy.home.oci)
    assert verdict(copy).outcome is Outcome.INCONCLUSIVE
    blob.write_bytes(b"e" * 1500)
    assert any("has been changed" in reason for reason in verdict(copy).reasons())


def test_evidence_that_is_gone_is_wrong_without_the_images_too(copy: TinyHome) -> None:
    """The release statement names what it rests on."""
    for folder in (copy.home.blobs, copy.home.oci, copy.home.cache):
        shutil.rmtree(folder)
    quality = next(copy.store.list(f"evidence/{_same(copy).release_digest.hex}/"))
    copy.store.delete(quality)
    assert any("rests on evidence that is not here" in reason for reason in verdict(copy).reasons())


def test_a_rejection_that_was_removed_from_the_store_is_noticed(copy: TinyHome) -> None:
    """It still lies beside the image, which is where whoever removed it did not look."""
    version = _same(copy)
    rejection = approval(version, at=WHEN, by="ada", why="it swears", reject=True)
    digest = record(copy.store, copy.signer, rejection)
    key = record_key(version.release_digest, digest)
    copy.layout.put_referrer(version.image, copy.store.get(key) or b"")
    copy.store.delete(key)
    (reason,) = verdict(copy).reasons()
    assert f"a rejection by builder ({digest})" in reason
    assert "was removed from the store" in reason
    assert "Next: `headgate reconcile --apply` puts it back" in reason


def test_what_an_image_says_of_another_version_is_not_missed(copy: TinyHome) -> None:
    """Two versions may have one image; each has the evidence that is about it."""
    other = draft(image=_same(copy).image, gpu_class="h100", weights_set=digest("w")).numbered(7)
    statement = release_statement(other, [])
    copy.layout.put_referrer(other.image, seal(statement.statement, copy.signer))
    assert verdict(copy).passed


def test_a_version_whose_record_was_removed_is_wrong(copy: TinyHome) -> None:
    """Its number was given: it is not one that never was."""
    copy.store.delete("versions/tiny/000001.json")
    (reason,) = verdict(copy).reasons()
    assert "The record of tiny/1 is gone from the store" in reason


def test_a_version_that_only_the_alias_log_names_is_wrong(copy: TinyHome) -> None:
    """Whoever removed the record took the index along; a number that nothing names never was."""
    for key in (*copy.store.list("versions/"), *copy.store.list("versions-by-content/")):
        copy.store.delete(key)
    copy.store.delete("versions-newest/tiny")
    (reason,) = verdict(copy).reasons()
    assert "The record of tiny/1 is gone from the store. the alias log of tiny on cpu names it" in reason
    assert "Next: restore the store from a backup" in reason
    with pytest.raises(UsageError, match="There is no version tiny/2"):
        verdict(copy, "tiny/2")


def test_an_image_whose_manifest_is_gone_leaves_the_weights_to_check(copy: TinyHome) -> None:
    """The image is said to be gone; the blobs are here, and are read."""
    image = _same(copy).image
    (copy.home.oci / "blobs" / "sha256" / image.hex).unlink()
    found = {finding.name: finding for finding in verdict(copy).findings}
    assert found["image"].outcome is Outcome.INCONCLUSIVE
    assert f"The manifest of the image {image} is gone from the image layout" in found["image"].message
    assert found["weights"].outcome is Outcome.PASS
    assert "every byte of the blobs, without the image, was read" in found["weights"].message
    copy.blobs.path(Digest.of_bytes(b"w" * 1500)).write_bytes(b"e" * 1500)
    assert any("has been changed" in reason for reason in verdict(copy).reasons())


def test_what_servers_load_is_looked_at(copy: TinyHome) -> None:
    """A file put beside the weights, or in place of one, is served, whatever the blobs say."""
    folder = copy.home.weights(_same(copy).weights_set)
    (folder / "model.py").write_text("import os")
    assert "model.py was not expected" in verdict(copy).reasons()[0]
    (folder / "model.py").unlink()
    (folder / "config.json").unlink()
    (folder / "config.json").write_text("{}")
    assert "config.json differs" in verdict(copy).reasons()[0]
    shutil.rmtree(folder)
    assert verdict(copy).passed


def test_a_layer_that_leads_to_another_blob_hides_nothing(copy: TinyHome) -> None:
    """The image reads well through it, and the blob that servers load is looked at all the same."""
    blob = copy.blobs.path(Digest.of_bytes(b"w" * 1500))
    twin = blob.with_name("0" * 64)
    shutil.copy(blob, twin)
    for path in files(copy, PROVED["layer records"]):
        path.write_bytes(path.read_bytes().replace(blob.name.encode(), twin.name.encode()))
    blob.write_bytes(b"e" * 1500)
    assert "has been changed" in " ".join(verdict(copy).reasons())


def test_a_file_that_cannot_be_read_is_named(copy: TinyHome) -> None:
    """A disk that fails under one file is found out, and the other checks go on."""
    blob = copy.blobs.path(Digest.of_bytes(b"w" * 1500))
    blob.unlink()
    blob.symlink_to(blob.name)
    (reason,) = (r for r in verdict(copy).reasons() if blob.name in r or "weights" in r)
    assert "Next: " in reason


def test_evidence_by_a_key_that_is_not_trusted_any_more_is_named(copy: TinyHome) -> None:
    """Nothing changed but the trust, and nothing of the version counts any more."""
    write_trust(copy.home.keys / "trusted.yaml", Trust())
    found = verdict(copy)
    assert found.outcome is Outcome.FAIL
    assert any("Nobody vouches for the record of tiny/1" in reason for reason in found.reasons())


def test_one_stranger_is_told_apart(copy: TinyHome) -> None:
    """A record by an unknown key does not count; beside one that does, it is harmless."""
    stranger = KeySigner.generate()
    version = _same(copy)
    doubtful = Evidence(
        kind=QUALITY, subject=version.release_digest, verdict=passed(QUALITY), facts={"at": AT}
    )
    record(copy.store, stranger, doubtful)
    assert verdict(copy).passed
    record(copy.store, stranger, replace(doubtful, kind=APPROVAL))
    (reason,) = verdict(copy).reasons()
    assert "approval evidence" in reason
    assert "not trusted here" in reason


def test_a_key_counts_only_for_its_kinds(copy: TinyHome) -> None:
    """A key trusted for approvals vouches for no release."""
    keys = [replace(key, kinds=frozenset({APPROVAL})) for key in copy.trust.keys]
    write_trust(copy.home.keys / "trusted.yaml", Trust(tuple(keys)))
    assert any("may not sign release" in reason for reason in verdict(copy).reasons())


def test_a_release_statement_for_another_version_does_not_hold(copy: TinyHome) -> None:
    """Signed by the right key, about the right record, but naming something else."""
    version = _same(copy)
    facts = {"at": AT, "version": "tiny/2", "policy": str(digest("policy")), "evidence": []}
    record(
        copy.store,
        copy.signer,
        Evidence(kind=RELEASE, subject=version.record_digest, verdict=passed(RELEASE), facts=facts),
    )
    assert any("it is about tiny/2" in reason for reason in verdict(copy).reasons())


def test_an_old_alias_record_put_back_is_noticed(copy: TinyHome) -> None:
    """The log knows better; the next move mends the record."""
    path = files(copy, CAUGHT["alias record"])[0]
    old = path.read_bytes()
    second = release(copy, weights={"config.json": b"{}"})
    path.write_bytes(old)
    assert any("aliases/tiny/cpu.json" in reason for reason in verdict(copy).reasons())
    move(copy, Alias.CANDIDATE, _same(copy))
    assert verdict(copy, second.reference).passed


def test_policy_alone_is_not_damage(copy: TinyHome) -> None:
    """What waits for a person, or has become too old, is told, and is not wrong."""
    fresh = release(copy, "fresh", aliases=[Alias.CANDIDATE])
    for requirement in (
        Requirement(kind=APPROVAL, four_eyes=True),
        Requirement(kind=QUALITY, max_age=timedelta(days=1)),
    ):
        policy = replace(DEFAULT, production=(requirement,))
        found = verify_version(copy.held, fresh.reference, policy, WHEN + timedelta(days=30))
        assert found.outcome is Outcome.INCONCLUSIVE
        assert "may not be in production" in found.reasons()[0]


def test_an_exemption_from_policy_is_told(copy: TinyHome) -> None:
    """What was in production here may come back; whoever reads the check sees that nobody has asked more."""
    policy = replace(DEFAULT, production=(Requirement(kind=APPROVAL),))
    for name, told in (("tiny/1", "first on 2026-11-20 10:00 UTC"), ("fresh/1", "nobody has approved it")):
        if name == "fresh/1":
            release(copy, "fresh", aliases=[Alias.CANDIDATE])
        found = verify_version(copy.held, name, policy, WHEN + timedelta(days=30))
        (finding,) = [f for f in found.findings if f.name == "policy"]
        assert told in finding.message
        assert ("exempt from the policy" in finding.message) == (name == "tiny/1")


def test_a_damaged_log_hides_no_other_finding(copy: TinyHome) -> None:
    """Nobody can tell any more that it was live, so the policy asks for everything; the log is named."""
    for path in sorted((copy.home.store / "audit/tiny/cpu").iterdir()):
        path.write_bytes(b"{}")
    policy = replace(DEFAULT, production=(Requirement(kind=APPROVAL),))
    found = verdict(copy, policy=policy)
    assert {"aliases", "policy"} <= {f.name for f in found.findings if f.outcome is not Outcome.PASS}


def test_a_version_that_there_is_not_is_a_usage_error(at: TinyHome) -> None:
    """With what there is."""
    with pytest.raises(UsageError, match="There is no version tiny/7"):
        verdict(at, "tiny/7")


def test_an_unsigned_store_is_told_how_to_sign(tmp_path: Path) -> None:
    """A version without image, evidence and manifests fails everything, without a traceback."""
    at = tiny_home(tmp_path)
    publish(at.store, draft())
    found = verdict(at)
    assert found.outcome is Outcome.FAIL
    assert all("Next: " in reason for reason in found.reasons())
