"""Fetch: resolve a revision to a commit, download exactly that, and keep every file by its content."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from prefect import task
from prefect.cache_policies import NO_CACHE

from registry.admission import RULES
from registry.digest import Digest
from registry.errors import Refused
from registry.licence import refuse_licence
from registry.manifest import Manifest
from tasks.disk import sizes_in_words
from tasks.download import download
from tasks.hub_token import hub_token
from tasks.model_terms import Terms
from tasks.progress import progress_of
from tasks.source import Listing
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
        source = TieredSource(origin, open_weights_store(os.environ), progress)
        listing = source.resolve(revision, progress)
        inputs = {"uri": uri, "commit": listing.commit, "rules": RULES}
        result = place.staged("fetch", inputs, lambda: _download(place, source, listing, licences))
        terms = Terms.from_json(result["terms"])
        refuse_licence(terms.licence, licences, listing.where)  # of what was fetched for another list, too
        manifest = Manifest.from_json(result["manifest"])
        places = source.places(manifest.size)
        progress(f"{listing.where}: {sizes_in_words(places)}", 1.0)
    return Fetched(uri, listing.commit, manifest, terms, places)


def _download(
    place: Workplace, source: TieredSource, listing: Listing, licences: Collection[str]
) -> dict[str, object]:
    # The folder is named by the commit, so a run that was killed goes on where it ended.
    name = Digest.of_json({"uri": listing.uri, "commit": listing.commit}).hex
    folder = place.home.cache / "downloads" / name
    try:
        got = download(source, listing, folder, place.blobs, progress_of("fetch"), licences)
    except Refused:
        shutil.rmtree(folder)  # nobody goes on with it
        raise
    shutil.rmtree(folder)
    source.keep(listing, got.manifest, place.blobs)
    return {"manifest": got.manifest.to_json(), "terms": got.terms.to_json()}
