"""Garbage collection over a whole home: what is live never loses a byte, what is garbage goes."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fleet.rollout import start_rollout
from fleet.router import ReplicaSpec
from registry.alias import Alias
from registry.alias_log import get_aliases
from registry.alias_vouch import vouch
from registry.atomic import exclusive
from registry.descriptor import MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest, canonical_json
from registry.dir_store import DirStore
from registry.errors import InfrastructureError, UsageError
from registry.garbage import Kind, Retention
from registry.manifests import read_manifest
from registry.pins import Pin, pin, unpin
from registry.publish import get_version
from registry.sweep import missing_bytes
from registry.version import ModelVersion
from tasks.collect_garbage import collect_garbage, make_plan, sweep
from tasks.fleet_records import save_status
from tasks.run import Run, open_run
from tasks.workplace import Workplace
from tests.simulators.records import draft
from tests.simulators.released import TinyHome, move, release, tiny_home

DAY = 86400.0
RETENTION = Retention(rollbacks=1, rollback_seconds=0, grace_seconds=DAY, log_seconds=2 * DAY)
AT = "2026-11-20T10:00:00+00:00"


def _place(at: TinyHome) -> Workplace:
    return Workplace(at.home, os.environ, Run(at.home, "collector"))


def _weights(number: int) -> dict[str, bytes]:
    return {"config.json": b"{}", "model.safetensors": b"%d" % number * (100 + number)}


def _pass_time(at: TinyHome, seconds: float) -> None:
    """Everything on this disk was last claimed so much longer ago."""
    files = {path.lstat().st_ino: path for path in at.home.root.rglob("*")}
    for path in files.values():
        then = path.lstat().st_mtime - seconds
        os.utime(path, (then, then), follow_symlinks=False)


def _collect(at: TinyHome, retention: Retention = RETENTION) -> dict[Kind, int]:
    return sweep(at.home, make_plan(_place(at), retention))


def _missing(at: TinyHome, version: ModelVersion) -> list[str]:
    weights = read_manifest(at.store, version.weights_manifest)
    assert weights
    return missing_bytes(version, weights, at.blobs, at.layout)


def _tags(at: TinyHome, version: ModelVersion) -> list[str]:
    return [tag for tag, image in at.layout.tagged().items() if image.digest == version.image]


def _serve(at: TinyHome, version: ModelVersion, fleet: str = "local") -> None:
    spec = ReplicaSpec(f"{version.name}-v{version.number}", ("serve", "{port}"), model=version.name)
    status = start_rollout(spec.revision, canary=spec, stable=None, port=8000, now=0.0)
    save_status(_place(at).fleet_store, fleet, status)


def _blobs(at: TinyHome, *versions: ModelVersion) -> set[Digest]:
    manifests = [
        read_manifest(at.store, digest)
        for v in versions
        for digest in (v.weights_manifest, v.source_manifest)
    ]
    return {entry.digest for manifest in manifests if manifest for entry in manifest.files.values()}


@pytest.fixture
def at(tmp_path: Path) -> TinyHome:
    """A home with a key."""
    return tiny_home(tmp_path / "home")


def test_a_dry_run_says_what_would_be_freed_and_removes_nothing(at: TinyHome) -> None:
    """And it is what is freed when it is done."""
    for number in range(4):
        release(at, weights=_weights(number))
    _pass_time(at, 3 * DAY)
    before = sorted(at.blobs.digests())
    told = collect_garbage.fn(_place(at), RETENTION, apply=False)
    assert sorted(at.blobs.digests()) == before
    assert not told["applied"]
    assert set(told["live"]) == {"tiny/3", "tiny/4"}
    assert told["bytes"] > sum(100 + n for n in range(2))
    done = collect_garbage.fn(_place(at), RETENTION, apply=True)
    assert done == {**told, "applied": True, "unused_since": done["unused_since"]}
    assert collect_garbage.fn(_place(at), RETENTION, apply=True)["kinds"] == []


def test_dead_versions_lose_their_bytes_and_keep_their_records(at: TinyHome) -> None:
    """They can be shown, not served; releasing one again brings it back whole."""
    first, _, third = (release(at, weights=_weights(number)) for number in range(3))
    _pass_time(at, 3 * DAY)
    _collect(at)
    assert get_version(at.store, "tiny/1") == first
    assert len(_missing(at, first)) == 2
    assert _missing(at, third) == []
    assert not at.home.weights(first.weights_set).exists()
    assert {tag.split("-")[0] for tag in at.layout.tagged()} == {"tiny", "sha256"}
    assert len(at.layout.tagged()) == 4
    assert release(at, weights=_weights(0)) == first
    assert _missing(at, first) == []


def test_what_a_live_run_claims_stays(at: TinyHome) -> None:
    """However long the run lasts: nothing names its blobs before it ends."""
    with open_run(at.home, "long"):
        (at.home.root / "new").write_bytes(b"quantized")
        digest = at.blobs.add_file(at.home.root / "new")
        _pass_time(at, 5 * DAY)
        _collect(at)
        assert at.blobs.has(digest)
    _collect(at)
    assert not at.blobs.has(digest)


def test_what_is_claimed_after_the_plan_stays(at: TinyHome) -> None:
    """A version that comes back to life between looking and removing loses nothing."""
    first = release(at, weights=_weights(0))
    for number in (1, 2, 3):
        release(at, weights=_weights(number))
    _pass_time(at, 3 * DAY)
    planned = make_plan(_place(at), RETENTION)
    attached, tags = at.layout.bundles(first.image), _tags(at, first)
    assert attached
    assert tags
    assert _missing(at, first) == []  # claims it, as a promotion does
    sweep(at.home, planned)
    assert _missing(at, first) == []
    assert at.layout.bundles(first.image) == attached
    assert _tags(at, first) == tags


@pytest.mark.parametrize("reason", ["pin", "fleet", "alias"])
def test_a_reason_to_stay_is_enough(at: TinyHome, reason: str) -> None:
    """Each one alone."""
    first = release(at, weights=_weights(0))
    for number in (1, 2, 3):
        release(at, weights=_weights(number))
    if reason == "pin":
        pin(at.store, Pin("tiny/1", "ada", "a customer compares", AT))
    elif reason == "fleet":
        _serve(at, first)
    else:
        move(at, Alias.STAGING, first)
    _pass_time(at, 3 * DAY)
    _collect(at)
    assert _missing(at, first) == []


def test_a_replica_keeps_its_folder_whoever_knows_its_version(at: TinyHome) -> None:
    """The fleet may serve what is in no registry of ours any more."""
    folder = at.home.cache / "weights" / ("ab" * 32)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    request = at.home.cache / "serve" / "request.json"
    request.parent.mkdir(parents=True)
    request.write_bytes(canonical_json({"model_dir": str(folder)}))
    spec = ReplicaSpec("other-v4", ("serve", str(request), "{port}"), model="other")
    status = start_rollout("other-v4", canary=spec, stable=None, port=8000, now=0.0)
    save_status(_place(at).fleet_store, "local", status)
    _pass_time(at, 9 * DAY)
    _collect(at)
    assert (folder / "model.safetensors").exists()


def test_what_dead_writers_left_goes(at: TinyHome) -> None:
    """Temporary files, half downloads, folders of old runs, texts of evaluations; not those of today."""
    live = release(at)
    left = [
        at.home.blobs / "sha256" / ".tmp-1-aa",
        at.home.store / "versions" / "tiny" / ".tmp-1-bb",
        at.home.cache / "weights" / ".tmp-1-cc" / "new" / "config.json",
        at.home.cache / "downloads" / "acme--tiny@1" / "model.safetensors.incomplete",
        at.home.cache / "runtimes" / ("cd" * 32),
        at.home.runs / "old" / "lock",
        at.home.texts / ("ef" * 32),
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"xx")
    _pass_time(at, 3 * DAY)
    (at.home.runs / "new").mkdir()
    young = at.home.cache / "weights" / ".tmp-2-dd"
    young.mkdir()
    read = at.home.texts / ("aa" * 32)
    read.write_bytes(b"xx")
    freed = _collect(at)
    assert [path for path in left if path.exists()] == []
    assert not (at.home.runs / "old").exists()
    assert young.exists()
    assert read.exists()
    assert (at.home.runs / "new").exists()
    assert freed[Kind.LEFTOVER] == 6
    assert _missing(at, live) == []


def test_another_tools_image_stays(at: TinyHome) -> None:
    """With everything it is made of, tagged or not; ours that were never published do not."""
    config = at.layout.put_blob(b'{"config": {"Labels": {"app": "web"}}}', "application/json")
    image = at.layout.put_manifest(canonical_json({"config": config.to_json(), "layers": []}))
    at.layout.tag("web", image)
    never = at.layout.put_blob(b'{"config": {"Labels": {"headgate.weights-set": "x"}}}', "application/json")
    at.layout.tag("tiny-x", at.layout.put_manifest(canonical_json({"config": never.to_json(), "layers": []})))
    _pass_time(at, 3 * DAY)
    _collect(at)
    assert list(at.layout.tagged()) == ["web"]
    assert at.layout.claim(image)
    assert not at.layout.has(never.digest)


@pytest.mark.parametrize(
    "key", ["pins/tiny-1.json", "rollouts/local.json", "aliases/tiny/cpu.json", "manifests"]
)
def test_where_it_cannot_be_told_what_is_live_everything_stays(at: TinyHome, key: str) -> None:
    """A damaged or lost record is no reason to remove; it says which one it is."""
    for number in range(3):
        release(at, weights=_weights(number))
    if key == "manifests":
        shutil.rmtree(at.home.store / key)
    else:
        path = at.home.store / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'{"format"')
    _pass_time(at, 3 * DAY)
    before = sorted(at.blobs.digests())
    with pytest.raises(InfrastructureError):
        collect_garbage.fn(_place(at), RETENTION, apply=True)
    assert sorted(at.blobs.digests()) == before


def test_nothing_is_removed_by_a_log_that_was_cut(at: TinyHome) -> None:
    """Who takes the aliases away does not make the weights behind them garbage."""
    release(at, weights=_weights(1))
    make_plan(_place(at), RETENTION)  # has seen the log
    _pass_time(at, 3 * DAY)
    for key in [*at.store.list("audit/"), *at.store.list("aliases/")]:
        at.store.delete(key)
    before = sorted(at.blobs.digests())
    with pytest.raises(InfrastructureError, match="this home has seen move"):
        collect_garbage.fn(_place(at), RETENTION, apply=True)
    assert sorted(at.blobs.digests()) == before


def test_other_content_under_a_live_number_is_not_taken_for_what_was_live(at: TinyHome) -> None:
    """What was moved to needs other bytes than it does."""
    release(at, weights=_weights(1))
    other = canonical_json(draft("tiny").numbered(1).to_json())
    assert at.store.compare_and_swap(
        "versions/tiny/000001.json", at.store.get("versions/tiny/000001.json"), other
    )
    with pytest.raises(
        InfrastructureError, match=r"the version tiny/1 cannot be read.*its record was sha256"
    ):
        make_plan(_place(at), RETENTION)


@pytest.mark.parametrize("number", [3, 6])
@pytest.mark.parametrize("damage", [None, b"{}"])
def test_moves_that_somebody_goes_on_without_hold_nothing_up(
    at: TinyHome, number: int, damage: bytes | None
) -> None:
    """Until then everything stays; also where one more is lost after that."""
    for each in range(3):
        release(at, weights=_weights(each))
    _lose_move(at, number, damage)
    with pytest.raises(InfrastructureError):
        make_plan(_place(at), RETENTION)
    _sign_for(at)
    assert make_plan(_place(at), RETENTION).live["tiny/3"][0] == "candidate on cpu"
    _lose_move(at, 2, damage)
    with pytest.raises(InfrastructureError, match=r"cannot be (read|believed)"):
        make_plan(_place(at), RETENTION)


def test_a_lost_version_that_somebody_goes_on_without_holds_nothing_up(at: TinyHome) -> None:
    """Until then everything stays, as nobody can tell what it needs."""
    first, second, _ = [release(at, weights=_weights(each)) for each in range(3)]
    at.store.delete(f"versions/tiny/{second.number:06d}.json")
    with pytest.raises(InfrastructureError, match="tiny/2"):
        make_plan(_place(at), RETENTION)
    _sign_for(at)
    assert sorted(make_plan(_place(at), RETENTION).live) == ["tiny/3"]
    move(at, Alias.PRODUCTION, first)
    assert sorted(make_plan(_place(at), RETENTION).live) == ["tiny/1", "tiny/3"]


def _lose_move(at: TinyHome, number: int, damage: bytes | None) -> None:
    path = at.home.store / f"audit/tiny/cpu/{number:08d}.json"
    path.unlink()
    if damage:
        path.write_bytes(damage)


def _sign_for(at: TinyHome) -> None:
    facts: dict[str, Any] = {"name": "tiny", "gpu_class": "cpu", "at": datetime(2026, 11, 21, tzinfo=UTC)}
    vouch(at.store, at.signer, at.trust, **facts, who="bob", why="disk died", restored=True)


def test_one_collector_at_a_time(at: TinyHome) -> None:
    """The second says so; a dry run is always possible."""
    release(at)
    with exclusive(at.home.root / "gc.lock"):
        with pytest.raises(UsageError, match="Another process"):
            collect_garbage.fn(_place(at), RETENTION, apply=True)
        collect_garbage.fn(_place(at), RETENTION, apply=False)


def test_what_was_released_into_the_home_before_stays_when_the_store_moves(
    at: TinyHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEADGATE_STORE changes where records are; the bytes are still this home's."""
    live = release(at)
    _pass_time(at, 3 * DAY)
    monkeypatch.setenv("HEADGATE_STORE", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    _collect(at)
    assert _missing(at, live) == []


def test_a_mistyped_store_frees_nothing(
    at: TinyHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would be live in it, and everything garbage."""
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv("HEADGATE_STORE", str(tmp_path / "shared"))
    moved = replace(at)
    moved.__dict__["store"] = DirStore(tmp_path / "shared")
    live = release(moved)
    _pass_time(at, 3 * DAY)
    monkeypatch.setenv("HEADGATE_STORE", str(tmp_path / "shraed"))
    with pytest.raises(UsageError, match=r"There is no store at .*/shraed"):
        _collect(at)
    assert _missing(moved, live) == []


class Refusing(DirStore):
    """A store whose service stops answering for one record: its credentials ran out."""

    def get(self, key: str) -> bytes | None:
        if key == "versions/tiny/000001.json":
            raise UsageError("Cannot read it", why="403 ExpiredToken")
        return super().get(key)


def test_a_store_that_refuses_is_not_taken_for_a_version_that_is_gone(at: TinyHome) -> None:
    """What a fleet serves may stand for no version here; that has to be known, not assumed."""
    served, _, _ = (release(at, weights=_weights(number)) for number in range(3))
    _serve(at, served)
    place = _place(at)
    place.__dict__["store"] = Refusing(at.home.store)
    with pytest.raises(UsageError, match="ExpiredToken"):
        make_plan(place, RETENTION)


def test_what_dead_writers_left_in_a_store_elsewhere_goes(
    at: TinyHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside its records; what else lies in a shared folder is none of ours."""
    store = tmp_path / "shared"
    ours, others = store / "versions" / "tiny" / ".tmp-1-aa", store / "theirs" / ".tmp-1-bb"
    then = time.time() - 3 * DAY
    for path in (ours, others):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"xx")
        os.utime(path, (then, then))
    monkeypatch.setenv("HEADGATE_STORE", str(store))
    assert _collect(at)[Kind.LEFTOVER] == 2
    assert not ours.exists()
    assert others.exists()


class Registry(RuleBasedStateMachine):
    """Releases, promotions, rollouts, pins, time, and a collector that may die after any removal."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.at = tiny_home(self.root / "home")
        self.versions: list[ModelVersion] = []
        self.pinned: set[int] = set()
        self.served: ModelVersion | None = None
        self.was_live: list[int] = []

    @initialize()
    def first(self) -> None:
        self._release(0)

    @rule(content=st.integers(0, 5))
    def release_again_or_new(self, content: int) -> None:
        self._release(content)

    @rule(pick=st.integers(0, 9))
    def promote(self, pick: int) -> None:
        """As the flow does: claimed first, refused when its bytes are gone."""
        version = self.versions[pick % len(self.versions)]
        if not _missing(self.at, version):
            move(self.at, Alias.PRODUCTION, version)
            self._note()

    @rule(pick=st.integers(0, 9))
    def stage(self, pick: int) -> None:
        version = self.versions[pick % len(self.versions)]
        if not _missing(self.at, version):
            move(self.at, Alias.STAGING, version)

    @rule(pick=st.integers(0, 9))
    def roll_out(self, pick: int) -> None:
        version = self.versions[pick % len(self.versions)]
        if not _missing(self.at, version):
            self.served = version
            _serve(self.at, version)

    @rule(pick=st.integers(0, 9), out=st.booleans())
    def pin_or_unpin(self, pick: int, out: bool) -> None:
        version = self.versions[pick % len(self.versions)]
        if out:
            unpin(self.at.store, version.reference)
            self.pinned.discard(version.number)
        elif not _missing(self.at, version):
            pin(self.at.store, Pin(version.reference, "ada", "", AT))
            self.pinned.add(version.number)

    @rule(days=st.sampled_from([0.4, 2]))
    def time_passes(self, days: float) -> None:
        _pass_time(self.at, days * DAY)

    @rule(removals=st.integers(0, 30))
    def collector_dies(self, removals: int) -> None:
        planned = make_plan(_place(self.at), RETENTION)
        sweep(self.at.home, replace(planned, going=planned.going[:removals]))

    @rule(pick=st.integers(0, 9))
    def collector_is_overtaken(self, pick: int) -> None:
        """A promotion happens between the plan and the removals."""
        planned = make_plan(_place(self.at), RETENTION)
        self.promote(pick)
        sweep(self.at.home, planned)

    @rule()
    def collect_all(self) -> None:
        _pass_time(self.at, 2 * DAY)
        live = [v for v in self.versions if v.number in self._live()]
        _collect(self.at)
        assert set(self.at.blobs.digests()) == _blobs(self.at, *live)
        folders = {path.name for path in (self.at.home.cache / "weights").iterdir()}
        assert folders <= {v.weights_set.hex for v in live}
        assert {digest for digest, _ in self.at.layout.kept()} == self._in_layout(live)

    @invariant()
    def nothing_live_is_lost(self) -> None:
        for version in self.versions:
            if version.number in self._live():
                manifest = read_manifest(self.at.store, version.weights_manifest)
                assert manifest
                for entry in manifest.files.values():
                    assert Digest.of_file(self.at.blobs.path(entry.digest)) == entry.digest
                image = Descriptor(MANIFEST_MEDIA_TYPE, version.image, 0)
                for part in (image, *self.at.layout.parts(image)):
                    assert self.at.layout.has(part.digest)
                assert self.at.layout.bundles(version.image)

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def _release(self, content: int) -> None:
        version = release(self.at, weights=_weights(content))
        if version.number not in {v.number for v in self.versions}:
            self.versions.append(version)
        assert _missing(self.at, version) == []
        self._note()

    def _note(self) -> None:
        production = get_aliases(self.at.store, self.at.trust, "tiny", "cpu").production
        if production and (not self.was_live or self.was_live[-1] != production):
            self.was_live.append(production)

    def _live(self) -> set[int]:
        aliases = get_aliases(self.at.store, self.at.trust, "tiny", "cpu")
        named = {n for n in aliases.to_json().values() if n}
        window = set(self.was_live[-2:-1])
        return named | window | self.pinned | ({self.served.number} if self.served else set())

    def _in_layout(self, live: list[ModelVersion]) -> set[Digest]:
        roots = [Descriptor(MANIFEST_MEDIA_TYPE, v.image, 0) for v in live]
        roots += self.at.layout.entries()
        found: set[Digest] = set()
        for root in roots:
            for part in self.at.layout.parts(root):
                found |= {part.digest, *(inner.digest for inner in self.at.layout.parts(part))}
            found.add(root.digest)
        return found


Registry.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=14,
    suppress_health_check=list(HealthCheck),
)
TestRegistry = Registry.TestCase
