"""Fetch: resolve a revision to a commit, download exactly that, and keep every file by its content."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from registry.admission import RULES
from registry.digest import Digest
from registry.errors import Refused
from registry.licence import refuse_licence
from registry.manifest import Manifest
from registry.manifests import load_manifest
from registry.version import ModelVersion
from tasks.disk import free_space, sizes_in_words
from tasks.download import download, download_folder, plan_download, try_download
from tasks.hub_token import hub_token
from tasks.model_terms import Terms
from tasks.progress import progress_of
from tasks.source import AS_IT_IS, Listing, content_commit
from tasks.source_address import scheme_of
from tasks.sources import find_source
from tasks.tiered_source import LOCAL, SOURCE, STORE, TieredSource
from tasks.weights_store import open_weights_store
from tasks.workplace import Workplace

_IN_WEIGHTS = "what the weights hold: their headers, their tensors against an index, numbers that are none"


@dataclass(frozen=True)
class Origin:
    """The source weights: where they came from, what they are, and how many bytes came from which place."""

    uri: str
    commit: str
    manifest: Manifest
    places: Mapping[str, int]


@dataclass(frozen=True)
class Fetched(Origin):
    """The source weights, and what they say beside."""

    terms: Terms


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
    with place.stage("fetch", f"resolving {_asked(uri, revision)}"):
        origin = find_source(uri, os.environ, hub_token(os.environ, token_secret))
        source = TieredSource(origin, open_weights_store(place), progress)
        listing = source.resolve(revision, progress)
        result = place.staged(
            "fetch", _inputs(uri, listing), lambda: _download(place, source, listing, licences)
        )
        terms = Terms.from_json(result["terms"])
        refuse_licence(terms.licence, licences, listing.where)  # of what was fetched for another list, too
        manifest = Manifest.from_json(result["manifest"])
        places = source.places(manifest)
        source.keep(listing, manifest, place.blobs)
        progress(f"{listing.where}: {sizes_in_words(places)}", 1.0)
    return Fetched(uri, listing.commit, manifest, places, terms)


def source_of(place: Workplace, version: ModelVersion) -> Origin:
    """What a version was made from, as it is on this machine, else fetched again at its commit.

    Raises Refused when the source has other files under that commit by now, and as ``fetch``.
    """
    manifest = load_manifest(place.store, version.source_manifest)
    uri, commit = version.source_uri, version.source_commit
    if place.blobs.claim(entry.digest for entry in manifest.files.values()):
        return Origin(uri, commit, manifest, {LOCAL: manifest.size, STORE: 0, SOURCE: 0})
    fetched = fetch(place, uri, commit)
    if fetched.manifest != manifest:
        raise Refused(
            f"The source of {version.reference} is not what it was made from any more",
            why=f"{uri} has {fetched.manifest.set_digest} at {commit}; it was {manifest.set_digest}",
            next_step="import the version with its source where it still is, or release the model again",
        )
    return fetched


@task(cache_policy=NO_CACHE)
def plan_fetch(
    place: Workplace,
    uri: str,
    revision: str,
    licences: Collection[str] = (),
    token_secret: str | None = None,
) -> dict[str, Any]:
    """What ``fetch`` would do, in plain values and bytes; no weights are transferred, and nothing is kept.

    ``not_checked`` says what only a fetch can find out. Raises Refused for what may not enter by its listing
    and its small files, InfrastructureError where the disk has no room.
    """
    with place.stage("fetch", f"resolving {_asked(uri, revision)}"):
        source = find_source(uri, os.environ, hub_token(os.environ, token_secret))
        listing = source.resolve(revision, progress_of("fetch"))
        folder = _folder(place, listing)
        plan = plan_download(listing, folder, place.blobs)
        fetched = place.known("fetch", _inputs(uri, listing))
        if fetched:
            refuse_licence(Terms.from_json(fetched["terms"]).licence, licences, listing.where)
            plan = replace(plan, present=plan.total)
        else:
            with TemporaryDirectory(dir=place.run.directory) as scratch:
                try_download(source, listing, plan, Path(scratch), place.blobs, licences)
    return {
        "uri": uri,
        "commit": listing.commit,
        "files": {file.path: file.size for file in plan.files},
        "bytes": plan.total,
        "on_this_machine": plan.present,
        "to_transfer": plan.missing,
        "free": free_space(folder),
        "not_checked": "" if fetched else _IN_WEIGHTS,
    }


def _asked(uri: str, revision: str) -> str:
    """What is resolved, for people: places without a history have no revision to tell of."""
    plain = revision == AS_IT_IS and scheme_of(uri) != "hf"
    return uri if plain else f"{uri}@{revision}"


def _inputs(uri: str, listing: Listing) -> dict[str, Any]:
    """What a fetch is known by."""
    # With what the source says of it: another hub may have another content under the same commit.
    said = content_commit(listing.files)
    return {"uri": uri, "commit": listing.commit, "files": said, "rules": RULES}


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
