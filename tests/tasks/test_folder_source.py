"""Models from a folder: what is taken is a copy, and of regular files only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry.blobs import BlobStore
from registry.errors import InfrastructureError, Refused, UsageError
from tasks.download import download
from tasks.folder_source import FolderSource
from tasks.source import Listing
from tasks.source_address import anchored
from tests.simulators.model_places import WEIGHTS, model_files


def nothing(_message: str, _fraction: float | None) -> None:
    """Progress that nobody hears."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models" / "tiny"
    made.mkdir(parents=True)
    for path, data in model_files().items():
        (made / path).write_bytes(data)
    return made


def looked_up(folder: Path, revision: str = "main") -> Listing:
    return FolderSource(str(folder)).resolve(revision, nothing)


def test_the_blobs_share_nothing_with_the_folder(folder: Path, tmp_path: Path) -> None:
    """Somebody edits a file in place afterwards: the release keeps what it took."""
    blobs = BlobStore(tmp_path / "blobs")
    files = download(FolderSource(str(folder)), looked_up(folder), tmp_path / "dest", blobs, nothing).manifest
    with (folder / WEIGHTS).open("r+b") as file:
        file.write(b"edited")
    assert blobs.path(files.files[WEIGHTS].digest).read_bytes() == model_files()[WEIGHTS]
    assert (folder / WEIGHTS).stat().st_nlink == 1


def test_the_commit_is_that_of_the_content(folder: Path, tmp_path: Path) -> None:
    """Wherever it is, whenever it was written; another byte is another commit, a log beside it is not."""
    before = looked_up(folder).commit
    moved = folder.rename(tmp_path / "elsewhere")
    os.utime(moved / WEIGHTS, (1, 1))
    (moved / "training.log").write_bytes(b"loss: 0")
    (moved / "checkpoints").mkdir()
    assert looked_up(moved).commit == before
    assert looked_up(moved, before).revision == before
    (moved / "config.json").write_bytes(b"{}")
    assert looked_up(moved).commit != before
    with pytest.raises(UsageError, match="is not what the release is pinned to"):
        looked_up(moved, before)


@pytest.mark.parametrize("target", ["../other.safetensors", "config.json", "nowhere"])
def test_symbolic_links_are_refused(folder: Path, target: str) -> None:
    """Whatever they point at; the message says how to put the file itself there."""
    (folder.parent / "other.safetensors").write_bytes(b"x")
    (folder / "linked.safetensors").symlink_to(target)
    with pytest.raises(Refused, match=r"symbolic link, linked\.safetensors") as caught:
        looked_up(folder)
    assert "cp -L" in caught.value.next_step


def test_a_file_that_becomes_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """Between the listing and the copy."""
    listing = looked_up(folder)
    (folder / WEIGHTS).rename(tmp_path / "away")
    (folder / WEIGHTS).symlink_to(tmp_path / "away")
    with pytest.raises(InfrastructureError, match=WEIGHTS):
        download(
            FolderSource(str(folder)), listing, tmp_path / "dest", BlobStore(tmp_path / "blobs"), nothing
        )


def test_a_pipe_is_refused_and_not_waited_for(folder: Path) -> None:
    """It would give other bytes each time."""
    os.mkfifo(folder / "model-2.safetensors")
    with pytest.raises(Refused, match="no file, folder or link"):
        looked_up(folder)


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    """And shown in a way that a terminal takes."""
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff.json"))).write_bytes(b"{}")
    with pytest.raises(Refused, match="not valid Unicode") as caught:
        looked_up(folder)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("missing", ["models/none", "models/tiny/config.json"])
def test_a_folder_that_is_not_there(folder: Path, tmp_path: Path, missing: str) -> None:
    """Or is a file; named as it was understood."""
    with pytest.raises(UsageError, match=missing) as caught:
        looked_up(tmp_path / missing)
    assert "counts from the spec's folder" in caught.value.next_step


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("./tiny", "file:///specs/tiny"),
        ("../tiny model", "file:///tiny%20model"),
        ("/models/tiny", "file:///models/tiny"),
        ("file:///models/tiny", "file:///models/tiny"),
        ("hf://acme/tiny", "hf://acme/tiny"),
        ("s3://bucket/tiny", "s3://bucket/tiny"),
    ],
)
def test_a_path_in_a_spec_counts_from_the_spec(uri: str, expected: str) -> None:
    """So the record says where the model was, whoever reads it."""
    assert anchored(uri, Path("/specs")) == expected
