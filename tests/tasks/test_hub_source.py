"""Fetching with the real client from a loopback hub that fails in every way a hub can."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import HeadgateError, InfrastructureError, Refused, UsageError
from registry.manifest import Manifest
from tasks.download import download as download_from
from tasks.download import download_folder
from tasks.hub_client import QUICK
from tasks.hub_source import HubSource
from tasks.progress import StageProgress
from tasks.source import Listing
from tasks.transfer import part
from tests.simulators.hub import Answer, HubSimulator
from tests.simulators.weights import shard

REPO = "org/tiny"
URI = f"hf://{REPO}"
WEIGHTS = "model.safetensors"


def model_files(**changed: bytes | None) -> dict[str, bytes]:
    """A small repository; a keyword (``__`` for the dot of its name) replaces a file, None drops it."""
    files = {
        "config.json": json.dumps({"model_type": "llama"}).encode(),
        "tokenizer_config.json": b"{}",
        "tokenizer.json": b'{"version": "1.0"}',
        "chat_template.jinja": b"{{ messages }}",
        "README.md": b"# tiny",
        "pytorch_model.bin": b"pickle",
        WEIGHTS: shard(300_000, seed=1),
    }
    names = {key.replace("__", "."): value for key, value in changed.items()}
    return {path: data for path, data in (files | names).items() if data is not None}


@pytest.fixture
def hub() -> Iterator[HubSimulator]:
    """A hub with one small model."""
    with HubSimulator() as simulator:
        simulator.push(REPO, model_files())
        yield simulator


def nothing(_message: str, _fraction: float | None) -> None:
    """Progress that nobody hears."""


def resolve(
    uri: str, revision: str, *, endpoint: str, token: str | None, progress: StageProgress = nothing
) -> Listing:
    """What a hub has at a revision."""
    return HubSource(uri, endpoint=endpoint, token=token).resolve(revision, progress)


def looked_up(hub: HubSimulator, revision: str = "main") -> Listing:
    """The model at a revision, with the hub's own token."""
    return resolve(URI, revision, endpoint=hub.endpoint, token=hub.token)


def download(hub: HubSimulator, listing: Listing, dest: Path, progress: StageProgress = nothing) -> Manifest:
    """Its files in the folder, and in blobs beside it."""
    source = HubSource(listing.uri, endpoint=hub.endpoint, token=hub.token)
    return download_from(source, listing, dest, blobs_of(dest), progress).manifest


def blobs_of(dest: Path) -> BlobStore:
    """The blob store of a folder."""
    return BlobStore(dest.with_name(f"{dest.name}-blobs"))


def fetched(hub: HubSimulator, dest: Path) -> Manifest:
    """Resolve and download."""
    return download(hub, looked_up(hub), dest)


def failure(hub: HubSimulator, dest: Path, kind: type[HeadgateError]) -> HeadgateError:
    """The error that fetching raises."""
    with pytest.raises(kind) as caught:
        fetched(hub, dest)
    return caught.value


# --- what goes well ---------------------------------------------------------------------------


def test_a_model_is_resolved_downloaded_and_listed(hub: HubSimulator, tmp_path: Path) -> None:
    """Only admitted files, each by its sha256; the branch became a commit."""
    resolved = looked_up(hub)
    assert resolved.commit == hub.repositories[REPO].branches["main"]
    assert len(resolved.files) == 7
    manifest = download(hub, resolved, tmp_path / "m")
    expected = set(model_files()) - {"README.md", "pytorch_model.bin"}
    assert set(manifest.files) == expected
    for path, entry in manifest.files.items():
        assert entry.digest == Digest.of_bytes(model_files()[path]) == Digest.of_file(tmp_path / "m" / path)
    assert not any("pytorch_model" in request for request in hub.requests)


def test_resolving_is_one_revision_call_and_one_listing(hub: HubSimulator) -> None:
    """And nothing else is asked: no telemetry."""
    commit = looked_up(hub).commit
    assert hub.requests == [
        f"GET /api/models/{REPO}/revision/main",
        f"GET /api/models/{REPO}/tree/{commit}",
    ]


def test_a_commit_is_a_revision_too(hub: HubSimulator) -> None:
    """And stays itself."""
    commit = hub.repositories[REPO].branches["main"]
    assert looked_up(hub, commit).commit == commit


def test_names_with_pattern_characters_are_taken_literally(hub: HubSimulator, tmp_path: Path) -> None:
    """A file called ``[a].json`` is fetched, and brings no ``a.json``."""
    hub.push(REPO, model_files(**{"[a]__json": b"{}"}))
    assert "[a].json" in fetched(hub, tmp_path).files


def test_progress_is_told_in_bytes(hub: HubSimulator, tmp_path: Path) -> None:
    """While a slow download runs, both its bytes and its fraction grow."""
    hub.push(REPO, model_files(model__safetensors=shard(3_000_000)))
    hub.bytes_per_second = 3e6
    heard: list[tuple[str, float | None]] = []
    download(hub, looked_up(hub), tmp_path, progress=lambda *told: heard.append(told))
    fractions = [fraction for message, fraction in heard if " of 3.0 MB" in message and fraction is not None]
    assert fractions == sorted(fractions)
    assert any(0 < fraction < 1 for fraction in fractions)
    assert any("MB/s" in message for message, _ in heard)


def test_a_second_download_into_the_folder_transfers_nothing(hub: HubSimulator, tmp_path: Path) -> None:
    """Whole files are kept, and verified all the same."""
    first = fetched(hub, tmp_path)
    hub.requests.clear()
    assert fetched(hub, tmp_path) == first
    assert not any(request.startswith("GET") and "/resolve/" in request for request in hub.requests)


# --- passing trouble --------------------------------------------------------------------------


def test_a_busy_hub_is_asked_again_and_says_so(hub: HubSimulator) -> None:
    """Two answers of 503 are no reason to fail."""
    hub.busy = 2
    heard: list[str] = []
    resolved = resolve(
        URI, "main", endpoint=hub.endpoint, token=None, progress=lambda what, _: heard.append(what)
    )
    assert resolved.files
    assert [message.partition("; ")[2] for message in heard] == ["attempt 2 of 3", "attempt 3 of 3"]
    assert "it answered 503" in heard[0]


def test_a_cut_connection_is_taken_up_again(hub: HubSimulator, tmp_path: Path) -> None:
    """The content is right although the first transfer broke off."""
    hub.cut[WEIGHTS] = 1
    assert fetched(hub, tmp_path).files[WEIGHTS].digest == Digest.of_bytes(model_files()[WEIGHTS])


def test_a_shard_corrupted_once_is_downloaded_again(hub: HubSimulator, tmp_path: Path) -> None:
    """Same length, one bit wrong: the client is content, the checksum is not."""
    hub.corrupt[WEIGHTS] = 1
    assert fetched(hub, tmp_path).files[WEIGHTS].digest == Digest.of_bytes(model_files()[WEIGHTS])


@pytest.mark.parametrize("path", [WEIGHTS, "tokenizer.json"])
def test_a_file_changed_on_disk_under_intact_metadata_is_mended(
    hub: HubSimulator, tmp_path: Path, path: str
) -> None:
    """The client would not look at it again; both kinds of checksum notice."""
    first = fetched(hub, tmp_path)
    content = (tmp_path / path).read_bytes()
    (tmp_path / path).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert fetched(hub, tmp_path) == first
    assert (tmp_path / path).read_bytes() == content


def test_a_file_lost_from_the_folder_comes_back(hub: HubSimulator, tmp_path: Path) -> None:
    """Metadata alone is no file."""
    first = fetched(hub, tmp_path)
    (tmp_path / WEIGHTS).unlink()
    assert fetched(hub, tmp_path) == first


KILLED = """
import sys
from pathlib import Path
from types import SimpleNamespace
from tests.tasks.test_hub_source import download, looked_up
hub = SimpleNamespace(endpoint=sys.argv[1], token=None)
download(hub, looked_up(hub), Path(sys.argv[2]))
"""


def test_kill_9_in_the_middle_and_the_next_download_goes_on(hub: HubSimulator, tmp_path: Path) -> None:
    """Files that were whole are not transferred again, and nothing half-written is left."""
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    hub.push(REPO, model_files(**{first: shard(10_000), second: shard(6_000_000)}))
    hub.bytes_per_second = 5e5  # it lasts long enough to be killed in its middle
    others = [tmp_path / first, tmp_path / WEIGHTS]
    with subprocess.Popen([sys.executable, "-c", KILLED, hub.endpoint, str(tmp_path)]) as child:
        deadline = time.monotonic() + 60
        while not (halves(tmp_path) and all(map(Path.exists, others))) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    (half,) = halves(tmp_path)
    size = half.stat().st_size
    assert 0 < size < 6_000_000
    hub.bytes_per_second = None
    hub.requests.clear()
    assert second in fetched(hub, tmp_path).files
    transferred = [request.rpartition("/")[2] for request in hub.requests if request.startswith("GET /org")]
    assert second in transferred
    assert first not in transferred
    assert not halves(tmp_path)
    assert hub.ranges == [(second, size)]


def halves(folder: Path) -> list[Path]:
    """Files a download is, or was, writing, that have bytes."""
    found = []
    for path in (folder / ".parts").glob("*"):
        with suppress(FileNotFoundError):  # it was whole just then
            found += [path] if path.stat().st_size else []
    return found


def a_half(hub: HubSimulator, dest: Path, content: bytes) -> None:
    """Leave these bytes as a killed download of the weights would."""
    (file,) = (file for file in looked_up(hub).files if file.path == WEIGHTS)
    (dest / ".parts").mkdir(parents=True)
    part(dest, file).write_bytes(content)


def test_half_of_a_file_is_gone_on_with(hub: HubSimulator, tmp_path: Path) -> None:
    """Only the rest is asked for, and the whole is right."""
    good = model_files()[WEIGHTS]
    a_half(hub, tmp_path, good[:100_000])
    assert fetched(hub, tmp_path).files[WEIGHTS].digest == Digest.of_bytes(good)
    assert hub.ranges == [(WEIGHTS, 100_000)]


@pytest.mark.parametrize("half", [b"\0" * 100_000, b"\0" * 900_000], ids=["wrong", "longer than the file"])
def test_half_of_something_else_is_given_up(hub: HubSimulator, tmp_path: Path, half: bytes) -> None:
    """The checksum of the whole tells, and the file is transferred from its beginning."""
    a_half(hub, tmp_path, half)
    assert fetched(hub, tmp_path).files[WEIGHTS].digest == Digest.of_bytes(model_files()[WEIGHTS])


def test_a_server_that_knows_no_ranges_sends_the_whole_file(hub: HubSimulator, tmp_path: Path) -> None:
    """What was there is given up, not doubled."""
    hub.whole_only = True
    a_half(hub, tmp_path, model_files()[WEIGHTS][:100_000])
    assert fetched(hub, tmp_path).files[WEIGHTS].digest == Digest.of_bytes(model_files()[WEIGHTS])


def test_a_range_that_cannot_be_satisfied_begins_the_file_again(hub: HubSimulator, tmp_path: Path) -> None:
    """416: the server's file is not the one that was begun."""
    hub.unsatisfied[WEIGHTS] = 1
    a_half(hub, tmp_path, model_files()[WEIGHTS][:100_000])
    assert fetched(hub, tmp_path).files[WEIGHTS].digest == Digest.of_bytes(model_files()[WEIGHTS])


def test_a_failing_server_is_asked_again_in_the_middle(hub: HubSimulator, tmp_path: Path) -> None:
    """Two answers of 500 to a file are no reason to fail."""
    hub.failing[WEIGHTS] = 2
    assert fetched(hub, tmp_path).files[WEIGHTS].digest == Digest.of_bytes(model_files()[WEIGHTS])


def test_a_shard_that_another_model_has_is_not_transferred(hub: HubSimulator, tmp_path: Path) -> None:
    """It is one blob, known by the checksum in the listing."""
    fetched(hub, tmp_path)
    other = hub.push("org/other", model_files(config__json=b'{"model_type": "qwen2"}'))
    hub.requests.clear()
    listing = resolve("hf://org/other", "main", endpoint=hub.endpoint, token=None)
    source = HubSource(listing.uri, endpoint=hub.endpoint, token=None)
    got = download_from(source, listing, tmp_path / "other", blobs_of(tmp_path), nothing)
    assert got.manifest.files[WEIGHTS].digest == Digest.of_bytes(model_files()[WEIGHTS])
    assert f"GET /org/other/resolve/{other}/{WEIGHTS}" not in hub.requests
    assert blobs_of(tmp_path).path(got.manifest.files[WEIGHTS].digest).stat().st_nlink == 3


def test_two_runs_that_want_the_same_model_take_turns(hub: HubSimulator, tmp_path: Path) -> None:
    """Both get it; it is transferred once."""
    resolved = looked_up(hub)
    hub.bytes_per_second = 1e6
    found: list[Manifest] = []

    def take_turn() -> None:
        with download_folder(tmp_path / "m", nothing) as folder:
            found.append(download(hub, resolved, folder))

    threads = [threading.Thread(target=take_turn) for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.requests.count(f"GET /{REPO}/resolve/{resolved.commit}/{WEIGHTS}") == 1
    assert len(found) == 3
    assert not (tmp_path / "m").exists()
    blob = blobs_of(tmp_path / "m").path(found[0].files[WEIGHTS].digest)
    assert blob.read_bytes() == model_files()[WEIGHTS]


def test_a_lock_that_is_removed_is_never_held_by_two(tmp_path: Path) -> None:
    """Each removes the lock's file when it is done, while others wait for it or make it anew."""
    inside: list[int] = []
    most = [0]

    def take_turns() -> None:
        for _ in range(40):
            with download_folder(tmp_path / "m", nothing):
                inside.append(1)
                time.sleep(0.0005)
                most[0] = max(most[0], len(inside))
                inside.pop()

    threads = [threading.Thread(target=take_turns) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert list(tmp_path.iterdir()) == []


# --- moving branches --------------------------------------------------------------------------


def test_a_branch_that_moves_does_not_move_the_release(hub: HubSimulator, tmp_path: Path) -> None:
    """While the hub still serves the old commit, that is what is fetched."""
    resolved = looked_up(hub)
    hub.push(REPO, model_files(model__safetensors=shard(9)))
    manifest = download(hub, resolved, tmp_path)
    assert manifest.files[WEIGHTS].digest == Digest.of_bytes(model_files()[WEIGHTS])


def test_a_commit_that_is_gone_names_both_commits(hub: HubSimulator, tmp_path: Path) -> None:
    """History was rewritten between resolve and download."""
    resolved = looked_up(hub)
    new = hub.push(REPO, model_files(model__safetensors=shard(9)))
    hub.drop(REPO, resolved.commit)
    with pytest.raises(InfrastructureError, match="is gone") as caught:
        download(hub, resolved, tmp_path)
    assert resolved.commit in str(caught.value)
    assert new in str(caught.value)
    assert "run the same command again" in caught.value.next_step


def test_a_commit_that_goes_during_the_download_says_the_same(hub: HubSimulator, tmp_path: Path) -> None:
    """The first check passed, the files are gone."""
    resolved = looked_up(hub)
    new = hub.push(REPO, model_files(model__safetensors=shard(9)))

    def drop_late(message: str, _: float | None) -> None:
        if " of " in message and resolved.commit in hub.repositories[REPO].commits:
            hub.drop(REPO, resolved.commit)

    hub.cut["config.json"] = 2
    hub.bytes_per_second = 200_000
    with pytest.raises(InfrastructureError) as caught:
        download(hub, resolved, tmp_path, progress=drop_late)
    assert new in str(caught.value)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("path", [WEIGHTS, "config.json"])
def test_a_file_that_stays_corrupted_is_refused_with_both_checksums(
    hub: HubSimulator, tmp_path: Path, path: str
) -> None:
    """Downloaded twice and wrong twice: a weight shard, and a small file known by its git object."""
    hub.corrupt[path] = 99
    text = str(failure(hub, tmp_path, Refused))
    good = model_files()[path]
    expected = hashlib.sha256(good).hexdigest() if path == WEIGHTS else "git-sha1:"
    assert path in text
    assert expected in text
    assert "found" in text
    transfers = [request for request in hub.requests if request.endswith(f"/{path}") and "GET" in request]
    assert len(transfers) == 2


def test_other_content_under_the_same_commit_is_refused(hub: HubSimulator, tmp_path: Path) -> None:
    """Even with headers that fit it, and of the same length."""
    good = model_files()[WEIGHTS]
    hub.served[REPO, WEIGHTS] = bytes(len(good))
    text = str(failure(hub, tmp_path, Refused))
    assert hashlib.sha256(good).hexdigest() in text
    assert hashlib.sha256(bytes(len(good))).hexdigest() in text


def test_other_content_of_another_length_is_refused(hub: HubSimulator, tmp_path: Path) -> None:
    """The size alone tells."""
    hub.served[REPO, WEIGHTS] = b"short"
    assert "5 bytes" in str(failure(hub, tmp_path, Refused))


def test_a_repository_without_safetensors_is_refused_before_any_transfer(
    hub: HubSimulator, tmp_path: Path
) -> None:
    """Its pickle is named, not taken."""
    hub.push(REPO, model_files(model__safetensors=None))
    assert "pytorch_model.bin" in str(failure(hub, tmp_path, Refused))
    assert not any("/resolve/" in request for request in hub.requests)


@pytest.mark.parametrize("file", ["config__json", "tokenizer_config__json", "processor_config__json"])
def test_custom_code_is_refused(hub: HubSimulator, tmp_path: Path, file: str) -> None:
    """In whichever configuration a loader would look for it."""
    hub.push(REPO, model_files(**{file: json.dumps({"auto_map": {"AutoModel": "evil.Model"}}).encode()}))
    assert "its own Python code" in str(failure(hub, tmp_path, Refused))


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff"])
def test_an_unreadable_configuration_is_refused(hub: HubSimulator, tmp_path: Path, content: bytes) -> None:
    """Never a traceback, however it is broken."""
    hub.push(REPO, model_files(config__json=content))
    assert "not readable as JSON" in str(failure(hub, tmp_path, Refused))


def test_a_path_out_of_the_folder_is_refused(hub: HubSimulator, tmp_path: Path) -> None:
    """Nothing is transferred from such a repository."""
    hub.push(REPO, model_files(**{"../evil.json": b"{}"}))
    assert "../evil.json" in str(failure(hub, tmp_path / "m", Refused))


def test_a_server_that_is_no_hub_is_one_clear_error(hub: HubSimulator) -> None:
    """It answers, but not what a hub would."""
    with pytest.raises(InfrastructureError, match="could not be downloaded"):
        resolve(URI, "main", endpoint=f"{hub.endpoint}/api/models/{REPO}/revision/main?", token=None)


# --- the user's mistakes ----------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["org/tiny", "hf://tiny", "hf://org/tiny@main", "hf://../x", "s3://org/tiny"])
def test_malformed_addresses(hub: HubSimulator, uri: str) -> None:
    """Said before any hub is asked."""
    with pytest.raises(UsageError, match="hf://ORG/NAME"):
        resolve(uri, "main", endpoint=hub.endpoint, token=None)
    assert not hub.requests


def test_an_unknown_repository(hub: HubSimulator) -> None:
    """It may also be private, and the error says so."""
    with pytest.raises(UsageError, match="hf-user/none is not at http") as caught:
        resolve("hf://hf-user/none", "main", endpoint=hub.endpoint, token=None)
    assert "HF_TOKEN" in caught.value.next_step


def test_a_hub_that_knows_no_such_address(hub: HubSimulator) -> None:
    """A bare 404 is a mistake too, and not mended by waiting."""
    hub.lie = lambda _path, _answer: Answer(404)
    with pytest.raises(UsageError, match="hf-user/none is not at http"):
        resolve("hf://hf-user/none", "main", endpoint=hub.endpoint, token=None)


def test_an_unknown_revision(hub: HubSimulator) -> None:
    """Named in the error."""
    with pytest.raises(UsageError, match="no revision 'v9'"):
        looked_up(hub, "v9")


def test_a_hub_that_wants_a_token(hub: HubSimulator, tmp_path: Path) -> None:
    """Without it, or with a wrong one, the variable is named; with it, all works, and it is never shown."""
    hub.token = "hf_" + "secret00" * 4
    for token in (None, "hf_wrong000000000000000"):
        with pytest.raises(UsageError) as caught:
            resolve(URI, "main", endpoint=hub.endpoint, token=token)
        assert "HF_TOKEN" in str(caught.value)
        assert "hf_" not in str(caught.value)
    resolved = looked_up(hub)
    assert hub.token not in repr(resolved)
    assert WEIGHTS in download(hub, resolved, tmp_path).files


def test_a_gated_repository(hub: HubSimulator, tmp_path: Path) -> None:
    """Listed for everyone, served to those who asked for access."""
    hub.gated = True
    error = failure(hub, tmp_path, UsageError)
    assert "gated" in str(error)
    assert "HF_TOKEN" in error.next_step


def test_a_plan_larger_than_the_disk(hub: HubSimulator, tmp_path: Path) -> None:
    """Refused before the first byte: the listing's sizes are enough."""
    resolved = looked_up(hub)
    huge = tuple(replace(file, size=10**16) if file.path == WEIGHTS else file for file in resolved.files)
    plan = replace(resolved, files=huge)
    with pytest.raises(InfrastructureError, match="no room"):
        download(hub, plan, tmp_path)
    assert not any("/resolve/" in request for request in hub.requests)


# --- the hub away -----------------------------------------------------------------------------


def closed_endpoint() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_an_unreachable_hub_is_named_soon() -> None:
    """In seconds, with progress meanwhile."""
    endpoint, heard = closed_endpoint(), []
    started = time.monotonic()
    with pytest.raises(InfrastructureError, match=endpoint):
        resolve(URI, "main", endpoint=endpoint, token=None, progress=lambda what, _: heard.append(what))
    assert time.monotonic() - started < 10
    assert len(heard) == 2


def test_a_silent_hub_is_not_waited_for(hub: HubSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing, for which the client alone would wait for ever."""
    assert QUICK < 8
    monkeypatch.setattr("tasks.hub_source.QUICK", 0.5)
    heard: list[str] = []

    def wake(message: str, _: float | None) -> None:
        heard.append(message)
        hub.silent.clear()

    hub.silent.set()
    started = time.monotonic()
    assert resolve(URI, "main", endpoint=hub.endpoint, token=None, progress=wake).files
    assert time.monotonic() - started < 0.5 + 3
    assert heard == [f"{hub.endpoint}: no answer in time; attempt 2 of 3"]


def test_a_hub_that_goes_away_leaves_no_half_model_taken_for_a_whole(
    hub: HubSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrived is kept; a folder with a file missing is not handed out."""
    hub.push(REPO, model_files(model__safetensors=shard(6_000_000)))
    resolved = looked_up(hub)
    hub.bytes_per_second = 1e6
    threading.Timer(2.0, hub.go_away).start()
    sleep = time.sleep  # between many attempts, ours and the client's
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.1)))
    with pytest.raises(InfrastructureError, match="cannot be reached") as caught:
        download(hub, resolved, tmp_path)
    assert "is kept" in caught.value.next_step
    assert halves(tmp_path)
    assert not (tmp_path / WEIGHTS).exists()


def test_ctrl_c_stops_a_download_at_once(hub: HubSimulator, tmp_path: Path) -> None:
    """The transfer threads end too, long before the transfer would."""
    hub.push(REPO, model_files(model__safetensors=shard(40_000_000)))
    hub.bytes_per_second = 2e6
    resolved = looked_up(hub)
    threading.Timer(1.0, signal.raise_signal, [signal.SIGINT]).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        download(hub, resolved, tmp_path)
    assert time.monotonic() - started < 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]
