"""What verify says about damaged bytes is what helps: its words are followed until nothing is wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from judging.verdict import Outcome
from registry.policy import DEFAULT
from registry.verify import verify_version
from tests.simulators.archives import bring, export
from tests.simulators.released import WHEN, release, tiny_home

NAMED = r"restore (\S+) from a backup; where there is none, remove it first|remove (\S+): whatever serves"


@pytest.mark.parametrize("again", ["release", "import"])
@pytest.mark.parametrize("of", ["blob", "config", "image", "list of files", "folder"])
def test_what_is_damaged_is_removed_and_comes_back(tmp_path: Path, of: str, again: str) -> None:
    """Each finding names a file or a folder: what is there is never written over."""
    at = tiny_home(tmp_path / "home")
    version = release(at)
    archive = tmp_path / "archive"
    export(at, "tiny/1", archive)
    weights = max(at.blobs.digests(), key=lambda digest: at.blobs.path(digest).stat().st_size)
    folder = at.home.weights(version.weights_set)
    path = {
        "blob": at.blobs.path(weights),
        "config": at.layout.file_of(at.layout.contents(version.image)[0].digest),
        "image": at.layout.file_of(version.image),
        "list of files": at.home.store / f"manifests/{version.weights_manifest.hex}.json",
        "folder": folder / "model.safetensors",
    }[of]
    data = path.read_bytes()
    if of == "folder":
        path.unlink()  # a link to the blob
    path.write_bytes(bytes(len(data)))
    followed = set()
    while (found := verify_version(at.held, "tiny/1", DEFAULT, WHEN)).outcome is not Outcome.PASS:
        named = re.findall(NAMED, " ".join(found.reasons()))
        told = {at.home.store / (restore or remove) for restore, remove in named} - followed
        assert told, found.reasons()
        for damaged in told:
            shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
        release(at) if again == "release" else bring(at, archive)
        followed |= told
    assert path in followed or folder in followed
