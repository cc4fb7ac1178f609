"""Fetch: resolve a revision to a commit, download exactly that, and keep every file by its content."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from registry.admission import RULES
from registry.digest import Digest
from registry.licence import refuse_licence
from registry.manifest import Manifest
from tasks.disk import free_space, sizes_in_words
from tasks.download import download, download_folder, plan_download
from tasks.hub_token import hub_token
from tasks.model_terms import Terms
from tasks.progress import progress_of
from tasks.source import Listing, content_commit
from tasks.sources import find_source
from tasks.tiered_source import TieredSource
from tasks.weights_store import open_weights_store
from tasks.workplace import Workplace


@dataclass(frozen=True)
class Fetched:
    """The source weights: where they came from, and what they are."""

    uri: str
    commit: str
    manifest: Manifest
    terms: Terms
    places: Mapping[str, int] = field(default_factory=dict)
    """How many bytes came from where."""


@task(cache_policy=NO_CACHE)
def fetch(
    place: Workplace,
    uri: str,
    revision: str,
    licences: Collection[str] = (),
    token_secret: str | None = None,
) -> Fetched:
    """The files of a model at one commit, each verified, in the blob store.

    ``licences`` are those that are allowed, any if empty. ``token_secret`` names the Prefect Secret that
    opens what is gated; HF_TOKEN does where it is None.
    """
    progress = progress_of("fetch")
    with place.stage("fetch", f"resolving {uri}@{revision}"):
        origin = find_source(uri, os.environ, hub_token(os.environ, token_secret))
        source = TieredSource(origin, open_weights_store(place), progress)
        listing = source.resolve(revision, progress)
        # With what the source says of it: another hub may have another content under the same commit.
        said = content_commit(listing.files)
        inputs = {"uri": uri, "commit": listing.commit, "files": said, "rules": RULES}
        result = place.staged("fetch", inputs, lambda: _download(place, source, listing, licences))
        terms = Terms.from_json(result["terms"])
        refuse_licence(terms.licence, licences, listing.where)  # of what was fetched for another list, too
        manifest = Manifest.from_json(result["manifest"])
        places = source.places(manifest.size)
        source.keep(listing, manifest, place.blobs)
        progress(f"{listing.where}: {sizes_in_words(places)}", 1.0)
    return Fetched(uri, listing.commit, manifest, terms, places)


@task(cache_policy=NO_CACHE)
def plan_fetch(place: Workplace, uri: str, revision: str, token_secret: str | None = None) -> dict[str, Any]:
    """What ``fetch`` would do, in plain values and bytes; nothing is downloaded.

    Raises Refused for names that may not enter, InfrastructureError where the disk has no room.
    """
    progress = progress_of("fetch")
    with place.stage("fetch", f"resolving {uri}@{revision}"):
        listing = find_source(uri, os.environ, hub_token(os.environ, token_secret)).resolve(
            revision, progress
        )
        folder = _folder(place, listing)
        plan = plan_download(listing, folder, place.blobs)
    return {
        "uri": uri,
        "commit": listing.commit,
        "files": {file.path: file.size for file in plan.files},
        "bytes": plan.total,
        "on_this_machine": plan.present,
        "to_transfer": plan.missing,
        "free": free_space(folder),
    }


def _folder(place: Workplace, listing: Listing) -> Path:
    """Where it is downloaded to: named by the commit, so a run that was killed goes on where it ended."""
    return place.home.cache / "downloads" / Digest.of_json({"uri": listing.uri, "commit": listing.commit}).hex


def _download(
    place: Workplace, source: TieredSource, listing: Listing, licences: Collection[str]
) -> dict[str, object]:
    progress = progress_of("fetch")
    with download_folder(_folder(place, listing), progress) as folder:
        got = download(source, listing, folder, place.blobs, progress, licences)
    return {"manifest": got.manifest.to_json(), "terms": got.terms.to_json()}
