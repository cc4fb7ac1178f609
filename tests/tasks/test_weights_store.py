"""The weights store on real services: what is kept is whole, and what comes back is what was kept."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest

from registry.access import Access
from registry.blobs import BlobStore
from registry.digest import Digest
from registry.dir_store import DirStore
from registry.errors import InfrastructureError, Refused, UsageError
from registry.garbage import Kind, Retention
from registry.home import Home
from registry.manifest import Manifest
from registry.manifests import load_manifest
from registry.pins import Pin, pin
from registry.publish import list_versions
from registry.sweep import missing_bytes
from registry.version import ModelVersion
from tasks.collect_garbage import collect_garbage, make_plan, sweep
from tasks.fetch import Fetched, fetch
from tasks.keep_weights import bring_back, keep_weights
from tasks.progress import set_reporter
from tasks.promotion import replica_of
from tasks.run import Run
from tasks.s3_bucket import Bucket
from tasks.weights_store import WeightsStore, open_weights_store
from tasks.workplace import Workplace, open_workplace
from tests.simulators.hub import HubSimulator
from tests.simulators.model_places import WEIGHTS, model_files
from tests.simulators.released import TinyHome, release, tiny_home
from tests.simulators.s3_faults import Fault, Faults
from tests.simulators.s3_servers import BUCKET, SERVERS, S3Server, s3_server

_NUMBERS = count()
_PART = 5 << 20  # bytes: the least that services take
_TROUBLE = [f for f in Fault if f.passes and f.value[:6] not in {"silent", "late", "repeat"}]


def nothing(_message: str, _fraction: float | None) -> None:
    """Progress that nobody hears."""


@dataclass
class Tier:
    """A store behind a proxy that fails on purpose, its service, and some files on this disk."""

    server: S3Server
    faults: Faults
    prefix: str
    blobs: BlobStore
    tmp: Path

    @property
    def store(self) -> WeightsStore:
        registry = DirStore(self.tmp.parent / "registry")
        return WeightsStore(Bucket(BUCKET, os.environ), self.prefix, registry, least_part=_PART)

    def marker(self, files: Manifest) -> str:
        return f"sets/{files.set_digest.hex}.json"

    def files(self, sizes: dict[str, int]) -> Manifest:
        for path, size in sizes.items():
            (self.tmp / path).write_bytes(os.urandom(size))
        return self.blobs.add_tree(self.tmp, sizes)

    def objects(self) -> dict[str, int]:
        found = self.server.client().list_objects_v2(Bucket=BUCKET, Prefix=f"{self.prefix}/")
        return {
            entry["Key"].removeprefix(f"{self.prefix}/"): entry["Size"] for entry in found.get("Contents", ())
        }

    def uploads(self) -> list[str]:
        """What is begun and not finished: it would be paid for, and shown to nobody."""
        found = self.server.client().list_multipart_uploads(Bucket=BUCKET, Prefix=self.prefix)
        return [upload["Key"] for upload in found.get("Uploads", ())]

    def parts_sent(self) -> int:
        return sum(method == "PUT" and "partNumber" in path for method, path in self.faults.requests)


@pytest.fixture
def tier(
    service: tuple[S3Server, str, Faults], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tier]:
    server, proxy, faults = service
    prefix = f"weights-{next(_NUMBERS)}"
    settings = {"AWS_ENDPOINT_URL_S3": proxy, "HEADGATE_WEIGHTS": f"s3://{BUCKET}/{prefix}"}
    for name, value in (server.environment | settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tasks.s3_bucket._PAUSES", (0.01, 0.02, 0.05))
    (tmp_path / "files").mkdir()
    faults.choose = lambda _method, _path: None
    faults.requests.clear()
    yield Tier(server, faults, prefix, BlobStore(tmp_path / "blobs"), tmp_path / "files")
    faults.choose = lambda _method, _path: None


@pytest.fixture(scope="module", params=SERVERS)
def each(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Every service in turn."""
    with s3_server(request.param, tmp_path_factory.mktemp("each") / "data") as server:
        yield server


# --- keeping ----------------------------------------------------------------------------------


def test_a_set_is_kept_under_its_digest(
    each: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large files in parts, small ones at once, an empty one too; whether it knows checksums or not."""
    for variable, value in each.environment.items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "files").mkdir()
    at = Tier(each, Faults(), "w", BlobStore(tmp_path / "blobs"), tmp_path / "files")
    files = at.files({"model.safetensors": _PART + 100, "config.json": 10, "merges.txt": 0})
    at.store.keep(files, at.blobs, nothing)
    expected = {f"{files.set_digest.hex}/{path}": entry.size for path, entry in files.files.items()}
    found = at.objects()
    assert found.pop(f"sets/{files.set_digest.hex}.json")
    assert found == expected
    assert at.store.holds(files)
    head = each.client().head_object(Bucket=BUCKET, Key=f"w/{files.set_digest.hex}/model.safetensors")
    assert head["Metadata"]["headgate-sha256"] == files.files["model.safetensors"].digest.hex


def test_what_is_kept_is_not_sent_again(tier: Tier) -> None:
    """A second release of the same weights only says when they were last wanted."""
    files = tier.files({"model.safetensors": _PART + 100, "config.json": 10})
    tier.store.keep(files, tier.blobs, nothing)
    tier.faults.requests.clear()
    tier.store.keep(files, tier.blobs, nothing)
    written = [path for method, path in tier.faults.requests if method in {"PUT", "POST"}]
    assert written == [f"/{BUCKET}/{tier.prefix}/sets/{files.set_digest.hex}.json"]


def test_a_set_that_lost_a_file_is_sent_again(tier: Tier) -> None:
    """Whatever its marker says: what is there is looked at."""
    files = tier.files({"model.safetensors": 100, "config.json": 10})
    tier.store.keep(files, tier.blobs, nothing)
    key = f"{tier.prefix}/{files.set_digest.hex}/config.json"
    tier.server.client().delete_object(Bucket=BUCKET, Key=key)
    assert not tier.store.holds(files)
    tier.store.keep(files, tier.blobs, nothing)
    assert tier.store.holds(files)


@pytest.mark.parametrize("fault", _TROUBLE, ids=lambda fault: fault.value)
def test_trouble_on_the_way_is_got_over(tier: Tier, fault: Fault) -> None:
    """Once for every kind of request, whether the service did what it was asked before it failed, or not."""
    files = tier.files({"model.safetensors": _PART + 100, "config.json": 10})
    met: Counter[tuple[str, str, str]] = Counter()

    def once(method: str, path: str) -> Fault | None:
        if (method, fault) == ("HEAD", Fault.CONFLICT):
            return None  # it is an answer to writers, and says so in its body
        key, _, query = path.partition("?")
        kind = (method, key, re.sub(r"=[^&]*", "", query))
        met[kind] += 1
        return fault if met[kind] == 1 else None

    tier.faults.choose = once
    tier.store.keep(files, tier.blobs, nothing)
    assert {"PUT", "POST", "GET"} <= {method for method, _, _ in met}
    assert tier.store.holds(files)
    assert len(tier.objects()) == 3
    assert tier.uploads() == []


KILLED = """
import os, sys
from pathlib import Path
from registry.blobs import BlobStore
from registry.manifest import Manifest
from registry.memory_store import MemoryStore
from tasks.s3_bucket import Bucket
from tasks.weights_store import WeightsStore
import json
store = WeightsStore(Bucket("headgate", os.environ), sys.argv[1], MemoryStore({}), least_part=5 << 20)
store.keep(Manifest.from_json(json.loads(sys.argv[3])), BlobStore(Path(sys.argv[2])), lambda *_: None)
"""


def test_kill_9_in_the_middle_and_the_next_run_sends_the_rest(tier: Tier) -> None:
    """Parts that arrived are compared and kept; there is no marker before all is there."""
    files = tier.files({"model.safetensors": 8 * _PART})

    four_wait, killed = threading.Event(), threading.Event()

    def three_arrive(method: str, path: str) -> Fault | None:
        number = int(path.partition("partNumber=")[2].partition("&")[0] or 0)
        if method != "PUT" or number <= 3:
            return None
        if number == 7:
            four_wait.set()
        killed.wait(60)
        return Fault.CLOSED_BEFORE

    tier.faults.choose = three_arrive
    folder = tier.blobs.path(Digest("0" * 64)).parents[1]
    arguments = [tier.prefix, str(folder), json.dumps(files.to_json())]
    with subprocess.Popen([sys.executable, "-c", KILLED, *arguments]) as child:
        assert four_wait.wait(60)
        child.send_signal(signal.SIGKILL)
    assert [*tier.objects()] == [tier.marker(files)]  # of a set that is on its way
    assert not tier.store.holds(files)
    tier.faults.choose = lambda _method, _path: None
    killed.set()
    tier.faults.requests.clear()
    tier.store.keep(files, tier.blobs, nothing)
    assert tier.parts_sent() == 5
    assert tier.objects()[f"{files.set_digest.hex}/model.safetensors"] == 8 * _PART
    assert tier.uploads() == []


def test_two_runs_that_keep_the_same_set_do_not_hinder_each_other(tier: Tier) -> None:
    """They may share one upload, and the one that is late finds it finished."""
    files = tier.files({"model.safetensors": 3 * _PART})
    failures: list[BaseException] = []

    def keep() -> None:
        try:
            tier.store.keep(files, tier.blobs, nothing)
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=keep) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert tier.store.holds(files)
    assert tier.uploads() == []


def test_an_upload_that_the_service_finished_and_denies_counts_as_finished(tier: Tier) -> None:
    """versitygw answers 500 to one run while it completes the same upload for another."""
    files = tier.files({"model.safetensors": _PART + 100})
    tier.faults.choose = lambda method, path: (
        Fault.BROKEN_AFTER if method == "POST" and "uploadId=" in path else None
    )
    tier.store.keep(files, tier.blobs, nothing)
    assert tier.store.holds(files)
    assert tier.uploads() == []


def test_an_upload_that_the_service_cannot_finish_fails(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for, and is not there."""
    monkeypatch.setattr("tasks.s3_upload._LOOKS", (0.0, 0.01))
    files = tier.files({"model.safetensors": _PART + 100})
    tier.faults.choose = lambda method, path: (
        Fault.BUSY_BEFORE if method == "POST" and "uploadId=" in path else None
    )
    with pytest.raises(InfrastructureError, match=r"Cannot finish .*503 SlowDown"):
        tier.store.keep(files, tier.blobs, nothing)
    assert not tier.store.holds(files)


@pytest.mark.parametrize("size", [1000, _PART + 100], ids=["at once", "in parts"])
def test_a_damaged_blob_is_not_passed_on(tier: Tier, size: int) -> None:
    """It is read anyway, so it is compared; the set never counts as whole."""
    files = tier.files({"model.safetensors": size})
    blob = tier.blobs.path(files.files["model.safetensors"].digest)
    blob.write_bytes(bytes(size))
    with pytest.raises(InfrastructureError, match="is damaged, and was not uploaded"):
        tier.store.keep(files, tier.blobs, nothing)
    assert [*tier.objects()] == [tier.marker(files)]
    assert not tier.store.holds(files)
    assert tier.uploads() == []


def test_a_service_that_refuses_says_why(tier: Tier) -> None:
    """Rights to read are not enough."""
    files = tier.files({"config.json": 10})
    tier.faults.next(Fault.FORBIDDEN)
    with pytest.raises(UsageError, match="s3:PutObject"):
        tier.store.keep(files, tier.blobs, nothing)


@pytest.mark.parametrize("address", ["weights", "http://x/y", "s3://", "s3://UP/x"])
def test_what_is_no_weights_store(address: str, tmp_path: Path) -> None:
    """Said at once, with what to write."""
    with pytest.raises(UsageError, match="s3://"):
        open_weights_store(Access(Home(tmp_path), {"HEADGATE_WEIGHTS": address}))


def test_without_a_name_there_is_none(tmp_path: Path) -> None:
    """As before."""
    assert open_weights_store(Access(Home(tmp_path), {})) is None


# --- fetching ---------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubSimulator]:
    with HubSimulator() as simulator:
        simulator.push("acme/tiny", model_files())
        monkeypatch.setenv("HF_ENDPOINT", simulator.endpoint)
        yield simulator


@pytest.fixture
def heard() -> Iterator[list[str]]:
    told: list[str] = []
    before = set_reporter(lambda _stage, message, _fraction: told.append(message))
    yield told
    set_reporter(before)


def fetched(home: Path, monkeypatch: pytest.MonkeyPatch) -> Fetched:
    """What a machine with this home gets."""
    monkeypatch.setenv("HEADGATE_HOME", str(home))
    with open_workplace() as place:
        return fetch.fn(place, "hf://acme/tiny", "main")


def served(hub: HubSimulator, path: str) -> int:
    return sum(
        request.startswith("GET /acme/tiny/resolve") and request.endswith(path) for request in hub.requests
    )


TOTAL = sum(len(data) for data in model_files().values())


def test_the_second_machine_fetches_from_the_store(
    tier: Tier, hub: HubSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    """The hub only says what the commit has; which place was used is said."""
    first = fetched(tmp_path / "a", monkeypatch)
    assert first.places == {"this machine": 0, "the weights store": 0, "the source": TOTAL}
    hub.requests.clear()
    second = fetched(tmp_path / "b", monkeypatch)
    assert second.manifest == first.manifest
    assert second.places == {"this machine": 0, "the weights store": TOTAL, "the source": 0}
    assert not any("/resolve/" in request for request in hub.requests)
    assert "from the weights store" in heard[-2]
    assert fetched(tmp_path / "b", monkeypatch).places["this machine"] == TOTAL


def test_a_damaged_object_is_fetched_from_the_hub(
    tier: Tier, hub: HubSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    """It has the right length, and the release goes on with the right bytes."""
    first = fetched(tmp_path / "a", monkeypatch)
    key = f"{tier.prefix}/{first.manifest.set_digest.hex}/{WEIGHTS}"
    tier.server.client().put_object(Bucket=BUCKET, Key=key, Body=bytes(len(model_files()[WEIGHTS])))
    hub.requests.clear()
    second = fetched(tmp_path / "b", monkeypatch)
    assert second.manifest == first.manifest
    assert second.places == {
        "this machine": 0,
        "the weights store": TOTAL - len(model_files()[WEIGHTS]),
        "the source": len(model_files()[WEIGHTS]),
    }
    assert served(hub, WEIGHTS) == 1
    assert any("is damaged in s3://" in message for message in heard)


def test_an_object_that_rotted_is_fetched_from_the_hub(
    tier: Tier, hub: HubSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    """Told as damage, by the service's own checksum too, and counted as what the hub gave."""
    first = fetched(tmp_path / "a", monkeypatch)
    tier.faults.choose = lambda method, path: Fault.FLIPPED if method == "GET" and WEIGHTS in path else None
    second = fetched(tmp_path / "b", monkeypatch)
    assert second.manifest == first.manifest
    assert second.places["the source"] == len(model_files()[WEIGHTS])
    assert any(f"{WEIGHTS} is damaged in s3://" in message for message in heard)


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.NOT_S3, Fault.BUSY_BEFORE, Fault.CLOSED_BEFORE])
def test_a_store_that_cannot_be_read_is_passed_over(
    tier: Tier,
    hub: HubSimulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    heard: list[str],
    fault: Fault,
) -> None:
    """The hub has it all, and the reason is said."""
    first = fetched(tmp_path / "a", monkeypatch)
    tier.faults.choose = lambda method, path: fault if method == "GET" and WEIGHTS in path else None
    second = fetched(tmp_path / "b", monkeypatch)
    assert second.manifest == first.manifest
    assert second.places["the source"] == len(model_files()[WEIGHTS])
    assert any(f"{WEIGHTS} is not taken from s3://" in message for message in heard)


def test_a_commit_that_the_store_does_not_know_comes_from_the_hub(
    tier: Tier, hub: HubSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a set whose marker is gone counts for nothing, whoever names it."""
    first = fetched(tmp_path / "a", monkeypatch)
    marker = f"{tier.prefix}/sets/{first.manifest.set_digest.hex}.json"
    tier.server.client().delete_object(Bucket=BUCKET, Key=marker)
    assert fetched(tmp_path / "b", monkeypatch).places["the source"] == TOTAL


# --- taking back ------------------------------------------------------------------------------


def workplace(at: TinyHome) -> Workplace:
    return Workplace(at.home, os.environ, Run(at.home, "run"))


def kept(at: TinyHome) -> tuple[ModelVersion, Manifest]:
    """A version whose weights are in the store too."""
    version = release(at)
    weights = Manifest.from_json(
        json.loads(at.store.get(f"manifests/{version.weights_manifest.hex}.json") or b"")
    )
    keep_weights.fn(workplace(at), weights)
    return version, weights


def lose(at: TinyHome, weights: Manifest, *, image: bool = False) -> None:
    for entry in weights.files.values():
        at.blobs.path(entry.digest).unlink(missing_ok=True)
    if image:
        for folder in ("blobs", "file-layers"):
            for path in (at.home.oci / folder / "sha256").iterdir():
                path.unlink()


@pytest.mark.parametrize("image", [False, True], ids=["files", "files and image"])
def test_a_version_that_was_collected_is_taken_back(tier: Tier, at: TinyHome, image: bool) -> None:
    """Its files from the store; its image is made of them again, and is the same."""
    version, weights = kept(at)
    lose(at, weights, image=image)
    assert missing_bytes(version, weights, at.blobs, at.layout)
    bring_back(workplace(at), version, weights)
    assert missing_bytes(version, weights, at.blobs, at.layout) == []


def test_what_the_store_has_damaged_is_not_taken_back(tier: Tier, at: TinyHome) -> None:
    """Transferred twice, and refused."""
    version, weights = kept(at)
    lose(at, weights)
    key = f"{tier.prefix}/{weights.set_digest.hex}/model.safetensors"
    tier.server.client().put_object(Bucket=BUCKET, Key=key, Body=bytes(1500))
    with pytest.raises(Refused, match="transferred twice"):
        replica_of(workplace(at), version)
    assert at.blobs.missing(weights) == ["model.safetensors"]


def test_a_set_that_is_not_in_the_store_is_still_missing(tier: Tier, at: TinyHome) -> None:
    """The message is the one there was before."""
    version, weights = kept(at)
    lose(at, weights)
    tier.server.client().delete_object(Bucket=BUCKET, Key=f"{tier.prefix}/sets/{weights.set_digest.hex}.json")
    with pytest.raises(UsageError, match="is not on this machine"):
        replica_of(workplace(at), version)


# --- garbage ----------------------------------------------------------------------------------

AT_ONCE = Retention(rollbacks=0, rollback_seconds=0, grace_seconds=0, weights_seconds=0)
FOR_EVER = replace(AT_ONCE, weights_seconds=None)


@pytest.fixture
def dead(tier: Tier, at: TinyHome) -> Manifest:
    """A set that only a dead version names, beside the one of a live version."""
    weights = outlived(at)
    keep_weights.fn(workplace(at), latest(at))
    return weights


def outlived(at: TinyHome) -> Manifest:
    """The set of a version that is neither production nor the one before."""
    _, weights = kept(at)
    for content in (b"another", b"a third"):
        release(at, weights={"model.safetensors": content})
    return weights


def latest(at: TinyHome) -> Manifest:
    return load_manifest(at.store, list_versions(at.store)[-1].weights_manifest)


def collected(at: TinyHome, retention: Retention = AT_ONCE) -> dict[str, int]:
    """What went, in bytes; as the dry run had said."""
    dry = collect_garbage.fn(workplace(at), retention, apply=False)
    done = collect_garbage.fn(workplace(at), retention, apply=True)
    assert done["kinds"] == dry["kinds"]
    return {kind["kind"]: kind["bytes"] for kind in done["kinds"]}


def unnamed(tier: Tier, at: TinyHome, name: str = "given-up.safetensors") -> Manifest:
    """A set that a run sent that never published; with its entry as a source."""
    files, store = tier.files({name: 500}), open_weights_store(workplace(at))
    assert store
    store.keep(files, tier.blobs, nothing)
    store.remember("hf://acme/tiny", "c" * 40, files)
    return files


def test_what_no_version_names_leaves_the_store(tier: Tier, at: TinyHome, dead: Manifest) -> None:
    """With its entry as a source; what a version names stays, dead or not, and what is not ours too."""
    files = unnamed(tier, at)
    other = f"{tier.prefix}/notes/readme.txt"
    tier.server.client().put_object(Bucket=BUCKET, Key=other, Body=b"ours")
    freed = collected(at, replace(FOR_EVER, grace_seconds=3600))
    assert Kind.KEPT not in freed
    assert collected(at, FOR_EVER)[Kind.KEPT] > 500
    found = tier.objects()
    assert not [key for key in found if files.set_digest.hex in key or key.startswith("sources/")]
    assert "notes/readme.txt" in found
    assert tier.store.holds(dead)


def test_with_a_window_sets_of_dead_versions_go(tier: Tier, at: TinyHome, dead: Manifest) -> None:
    """A set that something live needs stays, however old; so does one that was wanted within the window."""
    assert Kind.KEPT not in collected(at, replace(AT_ONCE, weights_seconds=3600))
    assert collected(at)[Kind.KEPT] > dead.size
    assert {key.split("/")[0] for key in tier.objects()} == {"sets", latest(at).set_digest.hex}


def test_a_pinned_version_keeps_its_set(tier: Tier, at: TinyHome, dead: Manifest) -> None:
    """As on disk."""
    pin(at.store, Pin("tiny/1", "ada", "", "2026-11-20T10:00:00+00:00"))
    collected(at)
    assert tier.store.holds(dead)


def test_what_is_wanted_after_the_plan_stays(
    each: S3Server, at: TinyHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a release or a promotion; whether the service compares ETags when it deletes or not."""
    settings = {"HEADGATE_WEIGHTS": f"s3://{BUCKET}/wanted"}
    for variable, value in (each.environment | settings).items():
        monkeypatch.setenv(variable, value)
    weights = outlived(at)
    planned = make_plan(workplace(at), AT_ONCE)
    assert Kind.KEPT in {item.kind for item in planned.going}
    keep_weights.fn(workplace(at), weights)
    assert sweep(at.home, planned)[Kind.KEPT] == 0
    store = open_weights_store(workplace(at))
    assert store
    assert store.holds(weights)


def test_a_release_in_the_middle_of_a_removal_has_its_set_whole(
    tier: Tier, at: TinyHome, dead: Manifest
) -> None:
    """The marker and a file are gone when it comes: the removal stops, and what is missing is sent."""
    planned = make_plan(workplace(at), AT_ONCE)
    copies = BlobStore(tier.tmp / "copies")  # the collector frees those on this disk first
    copies.add_tree(shutil.copytree(at.home.weights(dead.set_digest), tier.tmp / "set"), dead.files)
    gone: list[str] = []
    released = threading.Event()

    def release_it(method: str, path: str) -> Fault | None:
        if method == "DELETE" and f"/{dead.set_digest.hex}/" in path:
            gone.append(path)
        elif method == "HEAD" and path.endswith(tier.marker(dead)) and gone and not released.is_set():
            released.set()
            tier.store.keep(dead, copies, nothing)
        return None

    tier.faults.choose = release_it
    sweep(at.home, planned)
    assert released.is_set()
    assert len(gone) == 1
    assert tier.store.holds(dead)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_removal_that_was_interrupted_is_finished(
    tier: Tier, at: TinyHome, dead: Manifest, lost: int
) -> None:
    """Nothing is held in between, and the store that stopped answering is told; the rest is done."""
    left = at.home.blobs / "sha256" / ".tmp-1-aa"
    left.write_bytes(b"x")
    seen = count()

    def stop(method: str, _path: str) -> Fault | None:
        return Fault.FORBIDDEN if method == "DELETE" and next(seen) >= lost else None

    tier.faults.choose = stop
    done = collect_garbage.fn(workplace(at), AT_ONCE, apply=True)
    assert "AccessDenied" in done["unseen"]
    assert not left.exists()
    assert not tier.store.holds(dead)
    tier.faults.choose = lambda _method, _path: None
    collected(at)
    assert not [key for key in tier.objects() if dead.set_digest.hex in key]


def test_a_set_of_another_registry_stays(
    tier: Tier, at: TinyHome, dead: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was mistyped knows no versions; and what both keep, neither may take from the other."""
    shared = unnamed(tier, at)
    other = tiny_home(tmp_path / "other")
    store = open_weights_store(workplace(other))
    assert store
    store.keep(shared, tier.blobs, nothing)
    assert Kind.KEPT not in collected(other)
    assert Kind.KEPT not in collected(at, FOR_EVER)
    monkeypatch.setenv("HEADGATE_STORE", str(tmp_path / "mistyped"))
    (tmp_path / "mistyped").mkdir()
    assert Kind.KEPT not in collected(at)
    assert tier.store.holds(dead)
    assert tier.store.holds(shared)


def test_an_unfinished_upload_is_ended(tier: Tier, at: TinyHome) -> None:
    """A run that died left it: it would be paid for, and shown to nobody. One elsewhere is not ours."""
    client = tier.server.client()
    keys = [f"{tier.prefix}/{'ab' * 32}/model.safetensors", f"{tier.prefix}/theirs.bin"]
    for key in keys:
        begun = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        client.upload_part(Bucket=BUCKET, Key=key, UploadId=begun, PartNumber=1, Body=bytes(700))
    assert collected(at)[Kind.UPLOAD] == 700
    assert tier.uploads() == keys[1:]


def test_a_store_that_does_not_answer_is_told_and_the_rest_is_done(tier: Tier, at: TinyHome) -> None:
    """What lies there is not known, and stays."""
    left = at.home.blobs / "sha256" / ".tmp-1-aa"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    tier.faults.choose = lambda _method, _path: Fault.CLOSED_BEFORE
    done = collect_garbage.fn(workplace(at), AT_ONCE, apply=True)
    assert "Cannot list" in done["unseen"]
    assert not left.exists()
