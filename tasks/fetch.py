"""Fetch: resolve a revision to a commit, download exactly that, and keep every file by its content."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from registry.manifest import Manifest
from tasks.hub_source import ResolvedModel, download, resolve
from tasks.progress import progress_of
from tasks.workplace import Workplace


@dataclass(frozen=True)
class Fetched:
    """The source weights: where they came from, and what they are."""

    uri: str
    commit: str
    manifest: Manifest


@task(cache_policy=NO_CACHE)
def fetch(place: Workplace, uri: str, revision: str) -> Fetched:
    """The files of ``hf://ORG/NAME`` at one commit, each verified, in the blob store."""
    with place.stage("fetch", f"resolving {uri}@{revision}"):
        token = os.environ.get("HF_TOKEN")
        resolved = resolve(uri, revision, endpoint=os.environ.get("HF_ENDPOINT"), token=token)
        inputs = {"uri": uri, "commit": resolved.commit}
        result = place.staged("fetch", inputs, lambda: _download(place, resolved, token))
    return Fetched(uri, resolved.commit, Manifest.from_json(result["manifest"]))


def _download(place: Workplace, resolved: ResolvedModel, token: str | None) -> dict[str, object]:
    # The folder is named by the commit, so a run that was killed goes on where it ended.
    folder = place.home.cache / "downloads" / f"{resolved.repo_id.replace('/', '--')}@{resolved.commit}"
    manifest = download(resolved, folder, token=token, progress=progress_of("fetch"))
    for path, entry in manifest.files.items():
        place.blobs.add_file(folder / path, entry.digest)
    shutil.rmtree(folder)
    return {"manifest": manifest.to_json()}
