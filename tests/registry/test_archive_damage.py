"""Damaged archives, and folders that are none: told for what they are, whoever signed, before any key is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.archive_layout import read_versions
from registry.bundle import seal, unseal
from registry.digest import Digest
from registry.errors import Refused, UsageError
from registry.publish import list_versions
from registry.signing import KeySigner
from registry.trust import Trust
from tests.simulators.archives import add_blob, bring, export, rewrite
from tests.simulators.released import TinyHome, release, tiny_home

KEY = "headgate.store-key"
DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
}


@pytest.fixture
def stranger(tmp_path: Path) -> TinyHome:
    """A home that trusts nobody else's key."""
    return tiny_home(tmp_path / "stranger")


@pytest.mark.parametrize("how", DAMAGES)
def test_every_damaged_file_is_named_before_any_key(stranger: TinyHome, archive: Path, how: str) -> None:
    """A manifest, a config, a layer, a record, a key: nobody is asked to trust a key for what is broken."""
    blobs = [path for path in (archive / "blobs" / "sha256").iterdir() if not path.name.startswith(".")]
    assert len(blobs) > 20
    for path in blobs:
        data = path.read_bytes()
        DAMAGES[how](path)
        with pytest.raises(
            Refused, match=r"is damaged, and nothing is imported.*Next: copy the archive"
        ) as error:
            bring(stranger, archive)
        assert path.name in str(error.value), data[:60]
        assert "trust" not in str(error.value), data[:60]
        assert str(error.value).count("Next:") == 1
        path.write_bytes(data)
    with pytest.raises(Refused, match="it is whole, but signed by keys not trusted here"):
        bring(stranger, archive)
    assert list(stranger.store.list("")) == []


@pytest.mark.parametrize(
    "index", [b"", b'{"manifests":[{', b"{}", b'{"manifests":[1]}', b"\xff", b"[" * 99999]
)
def test_a_damaged_index_is_told_on_both_ways(
    here: TinyHome, stranger: TinyHome, archive: Path, index: bytes
) -> None:
    """An import names the file; an export into that folder says how to start anew."""
    (archive / "index.json").write_bytes(index)
    with pytest.raises(Refused, match="is damaged, and nothing is imported"):
        bring(stranger, archive)
    with pytest.raises(Refused, match=r"is damaged.*Next: remove the folder and export again"):
        export(here, "tiny/1", archive)
    shutil.rmtree(archive)
    export(here, "tiny/1", archive)
    assert read_versions(archive)


def test_a_signature_that_does_not_hold_is_damage(here: TinyHome, there: TinyHome, archive: Path) -> None:
    """Under a key that is trusted for other kinds alone, a forgery is no question of trust."""
    (archived,) = read_versions(archive)
    key, data = next((k, d) for k, d in archived.records.items() if k.startswith("evidence/"))
    forged = json.loads(seal(unseal(data, Trust()).statement, KeySigner.generate()))
    forged["verificationMaterial"] = json.loads(data)["verificationMaterial"]
    blob = add_blob(archive, json.dumps(forged).encode())
    folder = key.rpartition("/")[0]
    blob["annotations"] = {KEY: f"{folder}/{Digest.parse(blob['digest']).hex}.json"}
    rewrite(
        archive,
        lambda layers: [layer.update(blob) for layer in layers if layer["annotations"].get(KEY) == key],
    )
    with pytest.raises(Refused, match=r"is damaged.*signature by first-house does not match its content"):
        bring(there, archive)
    assert list_versions(there.store) == []


def test_a_folder_that_is_no_archive_is_told_what_it_is(there: TinyHome, tmp_path: Path) -> None:
    """Missing, empty, a file, somebody's photos, or what an interrupted export left."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "packed.tar").write_bytes(b"packed")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "half" / "blobs" / "sha256").mkdir(parents=True)
    for name, why in {
        "nowhere": "there is no such folder. Next: name the folder",
        "empty": "it is empty. Next: name the folder",
        "packed.tar": "it is a file. Next: unpack it",
        "photos": "it holds other files. Next: name the folder",
        "half": "it has no index.json, which an export writes last. Next: run the export or the copy again",
    }.items():
        with pytest.raises(UsageError) as error:
            bring(there, tmp_path / name)
        assert f"{name} is no archive of versions. {why}" in str(error.value)


def test_an_interrupted_export_goes_on_with_any_version(
    here: TinyHome, there: TinyHome, tmp_path: Path
) -> None:
    """At whatever byte it ended: the same one again, and another one into the same folder."""
    release(here, weights={"config.json": b"{}", "model.safetensors": b"v" * 900})
    counted: list[int] = []
    export(here, "tiny/1", tmp_path / "whole", counted.append)
    assert len(counted) > 3
    for number in range(len(counted)):
        folder = tmp_path / f"archive-{number}"
        with pytest.raises(KeyboardInterrupt):
            export(here, "tiny/1", folder, _interrupting(number))
        with pytest.raises(UsageError, match="run the export or the copy again"):
            bring(there, folder)
        export(here, "tiny/2", folder)
        export(here, "tiny/1", folder)
        assert [version.reference for version in bring(there, folder)] == ["tiny/1", "tiny/2"]


def _interrupting(after: int) -> Callable[[int], None]:
    left = iter(range(after))

    def heard(_count: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return heard


def test_a_place_that_takes_no_archive_is_named(
    here: TinyHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file, something below one, other files, or a disk that cannot be written; nothing is left there."""
    (tmp_path / "taken").write_bytes(b"taken")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    before = sorted(tmp_path.rglob("*"))
    for folder, why in {
        "taken": "it is a file",
        "taken/below": "taken is a file",
        "photos": "it holds other files",
    }.items():
        with pytest.raises(UsageError, match=rf"Nothing is exported to .*{why}.*Next: name a new or empty"):
            export(here, "tiny/1", tmp_path / folder)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path or mode != os.W_OK)
    with pytest.raises(UsageError, match="cannot be written"):
        export(here, "tiny/1", tmp_path / "new" / "archive")
    assert sorted(tmp_path.rglob("*")) == before
