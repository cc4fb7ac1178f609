"""Where things are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.digest import Digest
from registry.home import Home


def test_the_default_is_a_hidden_folder_in_the_users_home() -> None:
    """Nothing has to be set."""
    assert Home.from_environment({"HOME": "/home/ada"}).root == Path("/home/ada/.headgate")


def test_a_relative_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon in another working directory finds the same folder."""
    monkeypatch.chdir(tmp_path)
    assert Home.from_environment({"HEADGATE_HOME": "mine"}).root == tmp_path / "mine"


def test_every_folder_lies_under_the_root() -> None:
    """Removing the root removes everything."""
    home = Home(Path("/h"))
    folders = [home.store, home.blobs, home.oci, home.cache, home.runs, home.fleets, home.keys, home.seen]
    names = ["store", "blobs", "oci", "cache", "runs", "fleets", "keys", "seen"]
    assert [folder.name for folder in folders] == names
    weights = Digest.of_bytes(b"")
    assert home.weights(weights) == home.cache / "weights" / weights.hex
