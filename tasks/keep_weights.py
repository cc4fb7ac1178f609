"""Keep weights: have them in the weights store before a version names them, and take them back from there."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from images.layout_builder import build_image
from images.packer import image_labels
from registry.errors import Refused, UsageError
from registry.manifest import Manifest
from registry.manifests import load_manifest
from registry.sweep import missing_bytes
from registry.version import ModelVersion
from tasks.disk import in_words
from tasks.download import bring, download_folder
from tasks.progress import progress_of
from tasks.weights_store import StoredSet, open_weights_store
from tasks.workplace import Workplace

STAGE = "weights store"


@task(cache_policy=NO_CACHE)
def keep_weights(place: Workplace, weights: Manifest) -> None:
    """Have these files in the store that HEADGATE_WEIGHTS names, if it names one; once, however often."""
    store = open_weights_store(place)
    if store:
        with place.stage(STAGE, f"{in_words(weights.size)} to {store!r}"):
            store.keep(weights, place.blobs, progress_of(STAGE))


def weights_of(place: Workplace, version: ModelVersion) -> Manifest:
    """The files of a version, on this machine or back from the weights store, and its image of them.

    Raises UsageError when a part is gone, Refused when its record contradicts itself.
    """
    weights = load_manifest(place.store, version.weights_manifest)
    if weights.set_digest != version.weights_set:
        raise Refused(
            f"The record of {version.reference} contradicts itself, and is not served",
            why=f"it lists files that are {weights.set_digest}; what was judged is {version.weights_set}",
            next_step="find out who writes to the store, and restore the record from a backup",
        )
    bring_back(place, version, weights)
    if gone := missing_bytes(version, weights, place.blobs, place.layout):
        raise UsageError(
            f"{version.reference} is not on this machine",
            why="; ".join(gone),
            next_step="release it again from its source, import it, or name the weights store that has it in "
            "HEADGATE_WEIGHTS: its record and evidence still hold",
        )
    return weights


def bring_back(place: Workplace, version: ModelVersion, weights: Manifest) -> None:
    """Fetch the files of a version that this machine has no more, and make its image of them again.

    Nothing happens without a weights store, or when it does not have them: the caller sees what is missing.
    """
    store = open_weights_store(place)
    entries = [entry.digest for entry in weights.files.values()]
    if store and not place.blobs.claim(entries) and store.claim(weights):
        progress, dest = progress_of(STAGE), place.home.cache / "downloads" / weights.set_digest.hex
        with place.stage(STAGE, f"{version.reference} is taken back from {store!r}"):
            source = StoredSet(store, weights)
            with download_folder(dest, progress) as folder:
                bring(source, source.resolve("main", progress), folder, place.blobs, progress)
    if place.blobs.claim(entries) and not place.layout.claim_image(version.image):
        _pack_again(place, version, weights)


def _pack_again(place: Workplace, version: ModelVersion, weights: Manifest) -> None:
    labels = image_labels(
        source_uri=version.source_uri,
        source_commit=version.source_commit,
        weights_set=version.weights_set,
        serve=version.serve.digest,
        runtime=version.runtime,
    )
    image = build_image(place.layout, weights, labels, version.name).digest
    if image != version.image:
        raise Refused(
            f"The image of {version.reference} cannot be made again from its files",
            why=f"it would be {image}, and the record names {version.image}: another program packed it",
            next_step="copy that image back into the home's image layout (`crane push`, `headgate import`)",
        )
