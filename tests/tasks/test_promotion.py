"""Before a version meets users: what its past says, and whether its record is what was judged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from registry.alias import Alias
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError, NeedsApproval, Refused, RolledBack, UsageError
from registry.evidence import Evidence, evidence_about, record
from registry.manifests import load_manifest
from registry.publish import get_version
from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey
from registry.trust_file import write_trust
from registry.version import ModelVersion
from tasks.attest import attest
from tasks.progress import set_reporter
from tasks.promotion import check_evidence, past_rollout, replica_of
from tasks.publish import point
from tasks.run import Run
from tasks.workplace import Workplace
from tests.simulators.archives import bring, export
from tests.simulators.records import digest
from tests.simulators.released import AT, WEIGHTS, TinyHome, move, passed, release, tiny_home


def workplace(at: TinyHome) -> Workplace:
    return Workplace(at.home, os.environ, Run(at.home, "run"))


def limited(at: TinyHome, name: str, *kinds: str) -> KeySigner:
    signer = KeySigner.generate()
    key = TrustedKey(name, signer.public_pem, frozenset(kinds))
    write_trust(at.home.keys / "trusted.yaml", Trust((*at.trust.keys, key)))
    return signer


def overwrite(at: TinyHome, version: ModelVersion) -> None:
    key = f"versions/{version.name}/{version.number:06d}.json"
    at.store.compare_and_swap(key, at.store.get(key), canonical_json(version.to_json()))


def not_live(at: TinyHome) -> ModelVersion:
    """A version that another one took over from."""
    version = release(at)
    release(at, weights={**WEIGHTS, "merges.txt": b"x"})
    return version


def ended(version: ModelVersion, phase: str | None) -> Evidence:
    facts = {"at": AT, "revision": f"tiny-v{version.number}", "reason": "it was slow"}
    facts |= {"phase": phase} if phase else {}
    return Evidence(kind="rollout", subject=version.release_digest, verdict=passed("x"), facts=facts)


def test_how_a_rollout_ended_is_said_by_a_key_that_may(at: TinyHome) -> None:
    """The approver's key says nothing about rollouts: it neither keeps a version back nor calls it live."""
    version = not_live(at)
    approver = limited(at, "ann", "approval")
    for phase in ("rolled_back", "succeeded"):
        record(at.store, approver, ended(version, phase))
        assert past_rollout(workplace(at), version, "local") is None
    record(at.store, at.signer, ended(version, "rolled_back"))
    with pytest.raises(RolledBack, match="it was slow"):
        past_rollout(workplace(at), version, "local")


def test_evidence_that_names_a_revision_and_no_phase_is_of_no_rollout(at: TinyHome) -> None:
    """Whatever another program signed."""
    version = not_live(at)
    record(at.store, at.signer, ended(version, None))
    assert past_rollout(workplace(at), version, "local") is None


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What is told about progress."""
    told: list[str] = []
    before = set_reporter(lambda stage, message, _fraction: told.append(f"{stage}: {message}"))
    yield told
    set_reporter(before)


APPROVED = "production: [{kind: quality}, {kind: approval}]"


def test_a_rollout_in_another_house_is_none_here(at: TinyHome, tmp_path: Path, heard: list[str]) -> None:
    """An archive brings evidence and moves that this house trusts; nothing of it was live in this one."""
    other = tiny_home(tmp_path / "other")
    version = release(other)
    record(other.store, other.signer, ended(version, "succeeded"))
    export(other, "tiny/1", tmp_path / "archive")
    at.trusts("other-house", other.signer)
    bring(at, tmp_path / "archive")
    assert {e.kind for e in evidence_about(at.store, version, at.trust) if e.signer} >= {
        "rollout",
        "alias-move",
    }
    at.home.policy.write_text(APPROVED)
    with pytest.raises(NeedsApproval, match="nobody has approved it"):
        check_evidence(workplace(at), version)
    assert heard == []


def test_what_was_in_production_here_comes_back_and_that_is_said(at: TinyHome, heard: list[str]) -> None:
    """Whatever the policy asks for by now; a version that never was live needs all of it."""
    version = not_live(at)
    fresh = release(at, weights={**WEIGHTS, "merges.txt": b"y"}, aliases=[Alias.CANDIDATE])
    at.home.policy.write_text(APPROVED)
    check_evidence(workplace(at), version)
    (said,) = heard
    assert said == (
        "policy: it is exempt from the policy: it was in production here, first on 2026-11-20 10:00 UTC,"
        " and only its release, harm proven since and rejections count"
    )
    with pytest.raises(NeedsApproval):
        check_evidence(workplace(at), fresh)


def test_a_run_that_died_before_it_recorded_its_rollout_has_been_live(at: TinyHome, heard: list[str]) -> None:
    """Production was moved to it, which is what counts: going back to it waits for nothing."""
    fresh = release(at, aliases=[Alias.CANDIDATE])
    at.home.policy.write_text(APPROVED)
    move(at, Alias.PRODUCTION, fresh)  # and then somebody pulled the plug
    check_evidence(workplace(at), fresh)
    assert len(heard) == 1


def test_what_a_distrusted_key_put_in_production_is_not_exempt(at: TinyHome, tmp_path: Path) -> None:
    """Not even when the next move, by a trusted key, goes back from it."""
    intruder = replace(at, signer=KeySigner.generate(), name="intruder")
    at.trusts("intruder", intruder.signer)
    bad = release(at, aliases=[Alias.CANDIDATE])
    good = release(at, weights={**WEIGHTS, "merges.txt": b"y"}, aliases=[Alias.CANDIDATE])
    move(intruder, Alias.PRODUCTION, bad)
    move(at, Alias.PRODUCTION, good)
    at.home.policy.write_text(APPROVED)
    write_trust(at.home.keys / "trusted.yaml", Trust(at.trust.of("builder")))
    with pytest.raises(NeedsApproval):
        check_evidence(workplace(at), bad)  # though it is ``previous`` in a log that ends in trusted hands
    check_evidence(workplace(at), good)


def test_nothing_is_rolled_out_on_a_log_that_was_cut(at: TinyHome) -> None:
    """Moves that this home has seen are gone: users must not meet a version before that is mended."""
    version = release(at)
    check_evidence(workplace(at), version)
    for key in [*at.store.list("audit/"), *at.store.list("aliases/")]:
        at.store.delete(key)
    with pytest.raises(InfrastructureError, match="this home has seen move"):
        check_evidence(workplace(at), version)
    with pytest.raises(InfrastructureError, match="this home has seen move"):
        point(workplace(at), Alias.CANDIDATE, version, "its gates passed")


def test_files_that_were_not_judged_are_not_served(at: TinyHome) -> None:
    """A policy that asks for nothing leaves the record unproven; its list of files has to be the weights'."""
    version, other = release(at), release(at, "other", {"config.json": b"{}", "model.safetensors": b"evil"})
    forged = replace(version, weights_manifest=other.weights_manifest)
    at.home.policy.write_text("production: []")
    overwrite(at, forged)
    check_evidence(workplace(at), forged)
    with pytest.raises(Refused, match=r"tiny/1 contradicts itself, and is not served"):
        replica_of(workplace(at), forged)


@pytest.mark.parametrize("where", ["blobs", "cache"])
def test_weights_that_were_changed_on_the_disk_are_not_served(at: TinyHome, where: str) -> None:
    """In the blob, and in the folder that servers load from when it is no link to the blob."""
    version = release(at)
    folder = workplace(at).unpacked(load_manifest(at.store, version.weights_manifest))
    blob = at.blobs.path(Digest.of_bytes(WEIGHTS["model.safetensors"]))
    path = blob if where == "blobs" else folder / "model.safetensors"
    path.unlink()
    path.write_bytes(b"e" * 1500)
    with pytest.raises(Refused, match=r"has been changed|does not hold the weights"):
        replica_of(workplace(at), version)


def test_nothing_is_rolled_out_with_a_key_that_could_not_say_so(
    at: TinyHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else users would be on a version that no alias names."""
    version = release(at)
    check_evidence(workplace(at), version)
    key = tmp_path / "ann.pem"
    key.write_bytes(limited(at, "ann", "approval").to_pem(None))
    key.chmod(0o600)
    monkeypatch.setenv("HEADGATE_SIGNING_KEY", str(key))
    with pytest.raises(UsageError, match=r"may not move aliases.*ann is trusted for other kinds"):
        check_evidence(workplace(at), version)


def test_a_record_that_was_swapped_meanwhile_gets_no_alias(at: TinyHome) -> None:
    """A rollout takes hours; what is pointed at in the end is what was judged, or nothing."""
    version = not_live(at)
    overwrite(at, replace(version, image=digest("another image")))
    with pytest.raises(InfrastructureError, match=r"tiny/1 has been changed, and nothing was moved"):
        point(workplace(at), Alias.PRODUCTION, version, "its rollout succeeded")


def test_a_record_that_another_hand_wrote_first_is_not_signed(at: TinyHome) -> None:
    """The same content under a false source: publishing finds it, and attesting reads what it says."""
    version = release(at)
    overwrite(at, replace(version, source_set=digest("a better source")))
    found = get_version(at.store, "tiny/1")
    with pytest.raises(Refused, match=r"tiny/1 is not signed.*says its source is"):
        attest.fn(workplace(at), found, None, None, [], "")  # type: ignore[arg-type]
