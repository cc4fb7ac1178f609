"""Releases from a folder and with a weights store: where bytes came from, and a version that comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.blobs import BlobStore
from registry.manifests import load_manifest
from registry.publish import get_version
from tests.simulators.project import Project, model_files, released
from tests.simulators.s3_servers import BUCKET, any_server, s3_server


def test_a_version_whose_files_were_lost_is_promoted_from_the_weights_store(
    place: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is a folder beside the spec; its record says where that was, and by which content."""
    (place.folder / "my model").mkdir()
    for path, data in model_files().items():
        (place.folder / "my model" / path).write_bytes(data)
    with s3_server(any_server(), tmp_path / "s3") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HEADGATE_WEIGHTS", f"s3://{BUCKET}/weights")
        result = released(place.together(), model={"uri": "./my model"})
        total = sum(map(len, model_files().values()))
        assert result["fetched"] == {"this machine": 0, "the weights store": 0, "the source": total}
        version = get_version(place.store, result["version"])
        assert version.source_uri == (place.folder / "my model").as_uri()
        assert version.source_commit.startswith("sha256:")
        weights = load_manifest(place.store, version.weights_manifest)
        blobs = BlobStore(place.home.blobs)
        for entry in weights.files.values():
            blobs.path(entry.digest).unlink()
        code, _, err = place.command("promote", version.reference, "--spec", str(place.folder / "spec.yaml"))
        assert code == 0, err
        assert blobs.missing(weights) == []
        assert place.observed()
        _, out, _ = place.command("versions")
        assert version.source_commit.removeprefix("sha256:")[:8] in out
