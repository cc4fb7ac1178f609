"""Reconcile: whatever died half-way is found, and mended where nothing has to be vouched for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from registry.alias import Alias
from registry.alias_history import history
from registry.alias_log import get_aliases
from registry.approval import approval
from registry.archive import export_version, import_archive
from registry.archive_seal import Exporter
from registry.attachment import Attachment, attach, attached
from registry.bundle import seal
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError
from registry.evidence import list_bundles, list_evidence, record, record_key, subjects_of
from registry.lease import Contender, holder_of
from registry.oci_client import OciClient, Repository
from registry.problem import Problem
from registry.publish import publish
from registry.reconcile import Reconciler
from registry.reconcile_attached import AttachedReconciler
from registry.referrers import fallback_tag
from registry.signing import KeySigner
from registry.version import ModelVersion
from tests.simulators.crashing_store import CountingStore
from tests.simulators.images import bundle, push_image
from tests.simulators.oci_registry import RegistrySimulator
from tests.simulators.records import draft
from tests.simulators.released import WHEN, TinyHome, move, release, release_statement, tiny_home


@pytest.fixture
def at(tmp_path: Path) -> TinyHome:
    """A home with a released version."""
    made = tiny_home(tmp_path / "home")
    release(made)
    return made


def _unreachable(place: Attachment) -> OciClient:
    raise InfrastructureError(f"{place.repository} does not answer")


def _reconciler(at: TinyHome) -> Reconciler:
    return Reconciler(
        store=at.store,
        signer=at.signer,
        trust=at.trust,
        layout=at.layout,
        who="ada@workshop",
        run="run-2",
        now=WHEN + timedelta(days=1),
        connect=_unreachable,
    )


def _problems(at: TinyHome) -> list[Problem]:
    return list(_reconciler(at).problems())


def _mended(at: TinyHome) -> list[str]:
    """What was found, all of it mended, and none of it found again."""
    found = _problems(at)
    assert [problem.what for problem in found if not problem.mend or not problem.mend()] == []
    assert _problems(at) == []
    return [problem.what for problem in found]


def _published(at: TinyHome, dtype: str = "bfloat16", *, attested: bool) -> ModelVersion:
    serve = replace(draft().serve, dtype=dtype)
    version = publish(at.store, draft(serve=serve))
    if attested:
        record(at.store, at.signer, release_statement(version, []))
    return version


def test_a_whole_registry_has_no_problems(at: TinyHome) -> None:
    """Nor does an empty one."""
    assert _problems(at) == []
    shutil.rmtree(at.home.store)
    assert _problems(at) == []


def test_a_version_without_its_summary_is_released_again(at: TinyHome) -> None:
    """Nobody but a release can vouch for it."""
    _published(at, attested=False)
    [problem] = _problems(at)
    assert problem.what == "tiny/2 was published, and not attested"
    assert problem.mend is None


def test_a_release_that_died_before_the_alias_is_ended(at: TinyHome) -> None:
    """Candidate moves, and the history says who did it."""
    version = _published(at, attested=True)
    move(at, Alias.STAGING, version)  # something else happened meanwhile
    statement = replace(release_statement(version, []), facts={})
    later = (WHEN + timedelta(hours=1)).isoformat(timespec="microseconds")
    facts = {**release_statement(version, []).facts, "at": later}
    record(at.store, at.signer, replace(statement, facts=facts))
    assert _mended(at) == ["tiny/2 was released, and never became candidate"]
    assert get_aliases(at.store, at.trust, "tiny", "cpu").candidate == 2
    assert history(at.store, at.trust, "tiny")[-1].who == "ada@workshop"


def test_what_was_released_since_stays_candidate(at: TinyHome) -> None:
    """Releasing an older version again is a newer wish than one that died."""
    _published(at, attested=True)  # said to be as old as the candidate's move
    assert _problems(at) == []


def test_a_record_that_lags_is_rolled_forward(at: TinyHome) -> None:
    """A mover died after its entry, or somebody put an old copy back."""
    key = at.home.store / "aliases" / "tiny" / "cpu.json"
    old = key.read_bytes()
    move(at, Alias.STAGING, release(at))
    key.write_bytes(old)
    [what] = _mended(at)
    assert "lags behind its log" in what
    assert get_aliases(at.store, at.trust, "tiny", "cpu").staging == 1


def test_a_broken_chain_is_told_and_left(at: TinyHome) -> None:
    """Only people can say which aliases are right."""
    (at.home.store / "audit" / "tiny" / "cpu" / "00000001.json").unlink()
    found = _problems(at)
    assert found
    assert all(problem.mend is None or not problem.mend() for problem in found)


def test_the_index_is_mended_and_an_open_claim_is_left(at: TinyHome) -> None:
    """A claim without a record belongs to whoever releases that content next: it is never taken away."""
    index = at.home.store / "versions-by-content" / "tiny"
    [entry] = index.iterdir()
    entry.rename(index / ("0" * 64))
    lost, claim = _problems(at)
    assert lost.what == "tiny/1 is not found by its content"
    assert lost.mend
    assert lost.mend()
    assert claim.harmless
    assert _problems(at) == [claim]
    assert publish(at.store, draft(weights_set=Digest("0" * 64))).number == 2


def test_evidence_that_came_later_is_put_beside_the_image(at: TinyHome) -> None:
    """Whoever has only the layout sees all of it."""
    version = next(iter([release(at)]))
    later = {**release_statement(version, []).facts, "at": "2026-11-21T00:00:00.000000+00:00"}
    record(at.store, at.signer, replace(release_statement(version, []), facts=later))
    assert _mended(at) == ["1 record is not beside the image of tiny/1"]
    said = {d for subject in subjects_of(version) for d in list_bundles(at.store, subject)}
    assert set(at.layout.bundles(version.image)) == said


def test_a_dead_holders_lease_is_freed(at: TinyHome) -> None:
    """It is watched first: nobody can tell a dead holder from a living one by a look."""
    key = "leases/referrers-00.json"
    assert Contender(at.store, key, "run-0", ttl=0.3).take()
    [problem] = _problems(at)
    assert problem.what == f"The lease {key} is held by run-0"
    assert problem.harmless
    assert problem.mend
    assert problem.mend()
    assert holder_of(at.store, key) is None
    assert _problems(at) == []


def test_a_registry_that_cannot_be_reached_is_told(at: TinyHome) -> None:
    """And the rest is looked at all the same."""
    version = publish(at.store, draft())
    with RegistrySimulator() as sim, OciClient(Repository(sim.host, "acme/tiny")) as client:
        attach(client, at.store, "ada", push_image(client), [])
        image = push_image(client)
        attach(client, at.store, "ada", image, [bundle(at.signer, image)])
        there = client.repository
    found = _problems(at)
    [unseen] = [problem for problem in found if problem.unseen]
    where = f"What is attached to {image} in {there}"
    assert unseen.what == f"{where} could not be looked at: {there} does not answer."
    assert f"{version.reference} was published, and not attested" in [problem.what for problem in found]


def test_what_another_tool_dropped_from_a_registry_is_attached_again(at: TinyHome) -> None:
    """A registry without the referrers API keeps a list that the last writer wins."""
    version = release(at)
    with RegistrySimulator() as sim:
        sim.lists_referrers = False
        place = Attachment(version.image, Repository(sim.host, "acme/tiny"))
        said = [d for s in subjects_of(version) for d in list_bundles(at.store, s).values()]
        with OciClient(place.repository) as client:
            for part in at.layout.contents(version.image):
                client.put_blob(at.layout.read(part.digest))
            client.put_manifest(at.layout.read(version.image))
            attach(client, at.store, "ada", version.image, said[:-1])
            listed = client.get_manifest(fallback_tag(version.image))
            assert listed
            attach(client, at.store, "ada", version.image, said)
            client.put_manifest(listed[1], fallback_tag(version.image))
            reconciler = replace(_reconciler(at), connect=lambda place: OciClient(place.repository))
            [problem] = reconciler.problems()
            assert problem.what == f"1 record is not attached to tiny/1 in {place.repository}"
            assert problem.mend
            assert problem.mend()
            assert set(attached(client, version.image)) >= {Digest.of_bytes(data) for data in said}
            assert list(reconciler.problems()) == []


def test_a_registry_that_is_gone_can_be_forgotten(at: TinyHome) -> None:
    """The line says with which command."""
    version = release(at)
    with RegistrySimulator() as sim, OciClient(Repository(sim.host, "acme/tiny")) as client:
        _push(at, client, version)
        attach(client, at.store, "ada", version.image, _said(at, version))
    [problem] = _problems(at)
    assert f"`headgate detach tiny/1 {client.repository}` forgets it" in problem.remedy
    assert "Next:" not in problem.what


def _push(at: TinyHome, client: OciClient, version: ModelVersion) -> None:
    for part in at.layout.contents(version.image):
        client.put_blob(at.layout.read(part.digest))
    client.put_manifest(at.layout.read(version.image))


def _said(at: TinyHome, version: ModelVersion) -> list[bytes]:
    return [data for s in subjects_of(version) for data in list_bundles(at.store, s).values()]


def _reject(at: TinyHome, version: ModelVersion) -> str:
    """The key of a rejection in the store."""
    digest = record(at.store, at.signer, approval(version, at=WHEN, by="ada", why="no", reject=True))
    return record_key(version.release_digest, digest)


def test_a_removed_rejection_is_put_back_from_beside_the_image(at: TinyHome) -> None:
    """The same bytes under the same key, in place of a damaged record too."""
    version = release(at)
    key = _reject(at, version)
    rejection = at.store.get(key)
    assert _mended(at) == ["1 record is not beside the image of tiny/1"]
    for damage in (None, b"{}"):
        at.store.delete(key)
        if damage:
            at.store.put_if_absent(key, damage)
        found = _problems(at)
        assert "1 record is beside the image of tiny/1 and not in the store: a rejection by" in found[0].what
        assert found[0].mend
        assert found[0].mend()
        assert at.store.get(key) == rejection
        assert _problems(at) == []


def test_a_removed_rejection_is_put_back_from_a_registry(at: TinyHome) -> None:
    """Where the image is not on this machine any more."""
    version = release(at)
    key = _reject(at, version)
    rejection = at.store.get(key)
    with RegistrySimulator() as sim, OciClient(Repository(sim.host, "acme/tiny")) as client:
        _push(at, client, version)
        attach(client, at.store, "ada", version.image, _said(at, version))
        at.store.delete(key)
        shutil.rmtree(at.home.oci)
        reconciler = replace(_reconciler(at), connect=lambda place: OciClient(place.repository))
        [problem] = reconciler.problems()
        assert (
            f"attached to tiny/1 in {client.repository} and not in the store: a rejection by" in problem.what
        )
        assert problem.mend
        assert problem.mend()
        assert at.store.get(key) == rejection
        assert list(reconciler.problems()) == []


@pytest.mark.parametrize("holder", [0, 1])
def test_what_is_said_of_two_versions_is_put_back_and_beside_both_images_in_one_go(
    at: TinyHome, holder: int
) -> None:
    """Only one of the images has the copy, whichever is looked at first."""
    versions = [release(at), release(at, "other", weights={"config.json": b"{}"})]
    assert all(not problem.mend or problem.mend() for problem in _problems(at))
    assert versions[0].source_set
    fetched = list_evidence(at.store, versions[0].source_set, at.trust)[0]
    shared = seal(replace(fetched, facts={**fetched.facts, "run": "run-2"}).statement, at.signer)
    at.layout.put_referrer(versions[holder].image, shared)
    assert all(problem.mend and problem.mend() for problem in _reconciler(at).problems())
    assert _problems(at) == []
    assert all(Digest.of_bytes(shared) in at.layout.bundles(version.image) for version in versions)


def test_what_nobody_trusted_signed_is_not_put_into_the_store(at: TinyHome) -> None:
    """Whoever can write to the layout could say anything."""
    version = release(at)
    said = approval(version, at=WHEN, by="mallory", why="no", reject=True)
    at.layout.put_referrer(version.image, seal(said.statement, KeySigner.generate()))
    assert _problems(at) == []


def test_a_version_whose_record_was_removed_is_told(at: TinyHome) -> None:
    """Also when it was the last one of its name, and its claim is no publication that goes on."""
    at.store.delete("versions/tiny/000001.json")
    found = {problem.what: problem for problem in _problems(at)}
    gone = found["The record of tiny/1 is gone from the store"]
    assert gone.mend is None
    assert "from a backup" in gone.remedy
    assert not any("has not ended" in what for what in found)


def test_a_hint_that_was_set_back_is_raised(at: TinyHome) -> None:
    """Else the numbers of the versions that are lost with it would be given to others."""
    lost = [_published(at, dtype, attested=True) for dtype in ("float16", "float32")]
    for version in lost:
        move(at, Alias.CANDIDATE, version)
        at.store.delete(f"versions/tiny/{version.number:06d}.json")
    at.store.compare_and_swap("versions-newest/tiny", b"3", b"1")
    found = {problem.what: problem for problem in _problems(at)}
    low = found["versions-newest/tiny names a lower number than tiny/3, which was given"]
    assert low.mend
    assert low.mend()
    told = [problem.what for problem in _problems(at)]
    assert low.what not in told
    assert {f"The record of tiny/{n} is gone from the store" for n in (2, 3)} <= {*told}
    assert publish(at.store, draft(source_commit="b" * 40)).number == 4


def test_evidence_is_read_once(at: TinyHome) -> None:
    """Each record is asked of the store once: it may be far away. Those beside images are on this disk."""
    version = release(at)
    counted = CountingStore(at.store)
    reconciler = AttachedReconciler(counted, at.trust, at.layout, "ada", _unreachable)
    assert list(reconciler.problems([version])) == []
    assert counted.calls - counted.listed == len(list(at.store.list("evidence/")))


def test_a_version_that_only_the_alias_log_names_is_told(at: TinyHome) -> None:
    """Whoever removed its record took the index along."""
    [index] = at.store.list("versions-by-content/tiny/")
    for key in (index, "versions/tiny/000001.json", "versions-newest/tiny"):
        at.store.delete(key)
    found = [problem.what for problem in _problems(at) if not problem.mend]
    assert any("the record of tiny/1, which it points at, is gone from the store" in what for what in found)


def test_an_import_leaves_nothing_to_mend(at: TinyHome, tmp_path: Path) -> None:
    """Aliases do not travel: it is candidate here when somebody says so; and its moves stay in the store."""
    exporter = Exporter(signer=at.signer, who="ada", now=WHEN)
    export_version(at.held, "tiny/1", tmp_path / "archive", exporter, lambda _count: None)
    there = tiny_home(tmp_path / "there")
    there.trusts("elsewhere", at.signer)
    import_archive(there.held, tmp_path / "archive", lambda _count: None)
    assert _problems(there) == []


def test_a_damaged_version_record_hides_no_other_problem(at: TinyHome) -> None:
    """It is told, with what to do, and so is the rest; its number's claim is no open publication."""
    lost = _published(at, attested=False)
    other = publish(at.store, draft("other"))
    key = f"versions/tiny/{lost.number:06d}.json"
    (at.home.store / key).write_bytes(b"{}")
    found = {problem.what: problem for problem in _problems(at)}
    assert f"{other.reference} was published, and not attested" in found
    damaged = next(problem for what, problem in found.items() if key in what)
    assert damaged.mend is None
    assert "restore it" in damaged.remedy
    assert not any("has not ended" in what for what in found)


def test_evidence_filed_under_another_version_is_told_and_never_attached(at: TinyHome) -> None:
    """Somebody copied a record from one version to another: the image would carry what is not about it."""
    version, other = release(at), release(at, "other", weights={"config.json": b"{}"})
    assert all(not problem.mend or problem.mend() for problem in _problems(at))
    key = next(at.store.list(f"evidence/{other.release_digest.hex}/"))
    data = at.store.get(key)
    assert data
    misfiled = f"evidence/{version.release_digest.hex}/{Path(key).name}"
    at.store.put_if_absent(misfiled, data)
    [problem] = _problems(at)
    assert misfiled in problem.what
    assert f"it speaks of {other.release_digest}, not of the digest it is filed under" in problem.what
    assert problem.mend is None
    at.store.delete(key)  # moved, not copied
    lost, problem = _problems(at)
    assert lost.mend
    assert lost.mend()
    assert at.store.get(key) == data
    assert misfiled in problem.what


def test_a_damaged_note_of_a_registry_hides_no_other_problem(at: TinyHome) -> None:
    """It is one problem among others."""
    at.store.put_if_absent("attachments/aa/bb.json", b"{}")
    version = publish(at.store, draft("other"))
    found = [problem.what for problem in _problems(at)]
    assert any("attachments/aa/bb.json is damaged" in what for what in found)
    assert f"{version.reference} was published, and not attested" in found


def test_a_forged_record_is_told_and_never_named_by_the_index(at: TinyHome) -> None:
    """In place of a published one, or beside it: no key signed for it, and publishing indexes first."""
    forged = draft(source_commit="b" * 40)
    for number in (1, 7):
        key = f"versions/tiny/{number:06d}.json"
        at.store.delete(key)
        at.store.put_if_absent(key, canonical_json(forged.numbered(number).to_json()))
    before = {key: at.store.get(key) for key in at.store.list("versions-by-content/")}
    found = {problem.what: problem for problem in _problems(at)}
    for number in (1, 7):
        what = next(
            what for what in found if what.startswith(f"The record of tiny/{number} was not published")
        )
        assert found[what].mend is None
        assert "from a backup" in found[what].remedy
    assert all(not problem.mend or problem.mend() for problem in found.values())
    assert {key: at.store.get(key) for key in at.store.list("versions-by-content/")} == before


def test_a_record_from_before_signing_is_named_by_the_index_again(at: TinyHome) -> None:
    """Older publishers wrote the record first, and nothing signed for it; but not over another's number."""
    old = publish(at.store, draft("old", source_set=None))
    [index] = at.store.list("versions-by-content/old/")
    at.store.delete(index)
    assert _mended(at) == ["old/1 is not found by its content"]
    at.store.delete("versions/old/000001.json")
    forged = replace(old, source_commit="b" * 40)
    at.store.put_if_absent("versions/old/000001.json", canonical_json(forged.to_json()))
    [problem] = _problems(at)
    assert problem.what.startswith("The record of old/1 was not published")


def test_an_index_entry_with_another_number_is_written_anew(at: TinyHome) -> None:
    """As ``verify`` promises."""
    [index] = at.store.list("versions-by-content/tiny/")
    at.store.delete(index)
    at.store.put_if_absent(index, b"7")
    assert _mended(at) == ["tiny/1 is not found by its content"]
    assert at.store.get(index) == b"1"


def test_a_single_damaged_move_is_not_said_to_be_mended(at: TinyHome) -> None:
    """Only a record that lags behind its log is."""
    (at.home.store / "audit/tiny/cpu/00000002.json").write_bytes(b"{}")
    assert [problem.mend for problem in _problems(at) if "alias" in problem.what] == [None]
