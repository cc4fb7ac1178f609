"""The quickstart's hub, asked by the real Hugging Face client."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from examples.quickstart.hub import HubServer

REPO = "demo/tiny"
WEIGHTS = bytes(range(256)) * 40


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A hub with one repository of two files and a hidden one."""
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / ".cache").write_text("not part of it", encoding="utf-8")
    with HubServer({REPO: folder}) as server:
        yield server


def test_client_resolves_downloads_and_verifies(hub: HubServer, tmp_path: Path) -> None:
    """A branch becomes a commit; the files come with checksums that hold."""
    api = HfApi(endpoint=hub.endpoint)
    commit = api.model_info(REPO, revision="main").sha
    assert commit == hub.commit(REPO)
    target = tmp_path / "down"
    api.snapshot_download(REPO, revision=commit, local_dir=target)
    assert (target / "model.safetensors").read_bytes() == WEIGHTS
    checked = api.verify_repo_checksums(REPO, revision=commit, local_dir=target)
    assert not checked.mismatches
    assert not checked.missing_paths
    assert checked.checked_count == 2


def test_commit_follows_the_content(hub: HubServer) -> None:
    """Forty hex digits that change with any file."""
    before = hub.commit(REPO)
    assert len(bytes.fromhex(before)) == 20
    (hub.repos[REPO] / "config.json").write_text('{"a": 1}', encoding="utf-8")
    assert hub.commit(REPO) != before


def test_unknown_repository_and_revision_are_told_apart(hub: HubServer) -> None:
    """By the code the client looks at."""
    api = HfApi(endpoint=hub.endpoint)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("demo/other")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="v9")


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [("bytes=10-19", 206, 10, 20), ("bytes=10000-", 206, 10000, None), ("bytes=99999-", 416, 0, 0)],
)
def test_ranges(hub: HubServer, asked: str, status: int, start: int, end: int | None) -> None:
    """An interrupted download goes on where it was."""
    url = f"{hub.endpoint}/{REPO}/resolve/main/model.safetensors"
    answer = httpx.get(url, headers={"Range": asked}, trust_env=False)
    assert (answer.status_code, answer.content) == (status, WEIGHTS[start:end])


def test_head_promises_what_get_brings(hub: HubServer) -> None:
    """Length and checksum, without the body."""
    answer = httpx.head(f"{hub.endpoint}/{REPO}/resolve/main/model.safetensors", trust_env=False)
    assert answer.headers["content-length"] == str(len(WEIGHTS))
    assert answer.headers["x-linked-etag"] == f'"{hashlib.sha256(WEIGHTS).hexdigest()}"'


def test_nothing_outside_the_folder_is_served(hub: HubServer) -> None:
    """Neither by dots nor by a hidden name."""
    for name in ("../repo/config.json", "%2e%2e/secret", ".cache"):
        answer = httpx.get(f"{hub.endpoint}/{REPO}/resolve/main/{name}", trust_env=False)
        assert answer.status_code == 404
