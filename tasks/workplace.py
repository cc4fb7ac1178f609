"""Where a stage works: the home's stores, the run it belongs to, and the clock of each stage.

``staged`` is the one way a stage's result is looked up, produced and saved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.blobs import BlobStore
from registry.dir_store import DirStore
from registry.home import Home
from registry.manifest import Manifest
from registry.oci_layout import OciLayout
from registry.stage_cache import StageCache, stage_key
from registry.store import Store
from tasks.progress import report
from tasks.run import Run


@dataclass(frozen=True)
class Workplace:
    """Everything the stages of one run share. ``seconds`` grows as stages end."""

    home: Home
    run: Run
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """Versions, aliases, evidence, rollout status."""
        return DirStore(self.home.store)

    @property
    def blobs(self) -> BlobStore:
        """Every file Headgate keeps, by content."""
        return BlobStore(self.home.blobs)

    @property
    def layout(self) -> OciLayout:
        """The default image registry."""
        return OciLayout(self.home.oci, self.blobs)

    @contextmanager
    def stage(self, name: str, message: str) -> Iterator[None]:
        """Announce a stage and add its wall time in seconds to ``seconds``."""
        started = time.monotonic()
        report(name, message)
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
        report(name, "done", 1.0)

    def staged(
        self, stage: str, inputs: Mapping[str, Any], produce: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """The stage's result: cached if these inputs were seen and their blobs are there, else produced."""
        result = self.known(stage, inputs)
        if result is None:
            result = produce()
            self.keep(stage, inputs, result)
        return result

    def keep(self, stage: str, inputs: Mapping[str, Any], result: dict[str, Any]) -> None:
        """Remember a result for these inputs."""
        StageCache(self.home.cache).put(stage, stage_key(stage, **inputs), result)

    def known(self, stage: str, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """The stage's result for these inputs if it is kept, and the blobs it names are."""
        result = StageCache(self.home.cache).get(stage, stage_key(stage, **inputs))
        return result if result is not None and self._holds(result) else None

    def _holds(self, result: Mapping[str, Any]) -> bool:
        manifest = result.get("manifest")
        return manifest is None or all(
            self.blobs.has(entry.digest) for entry in Manifest.from_json(manifest).files.values()
        )

    def unpacked(self, manifest: Manifest) -> Path:
        """A folder with the manifest's files, as hard links to the blobs: what a server loads."""
        return self.blobs.link_tree(manifest, self.home.weights(manifest.set_digest))
