"""Build: pack the weights into an OCI image in the layout, without a second copy of them on disk."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import task
from prefect.cache_policies import NO_CACHE

from images.layout_builder import build_image
from registry.digest import Digest
from registry.manifest import Manifest
from tasks.progress import byte_counter
from tasks.workplace import Workplace


@task(cache_policy=NO_CACHE)
def build(place: Workplace, weights: Manifest, labels: Mapping[str, str], repository: str) -> Digest:
    """The image's digest: one uncompressed layer per file under ``/models/``; same files, same digest."""
    heard = byte_counter("build", lambda: weights.size)
    with place.stage("build", f"{len(weights.files)} layers"):
        return build_image(place.layout, weights, labels, repository, heard).digest
