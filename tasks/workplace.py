"""Where a stage works: its stores and keys, the run it belongs to, and the clock of each stage.

``open_workplace`` opens a run; ``staged`` is the one way a stage's result is looked up, produced and saved.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry.access import Access
from registry.dir_store import DirStore
from registry.home import Home
from registry.manifest import Manifest
from registry.stage_cache import StageCache, stage_key
from registry.store import Store
from tasks.progress import report
from tasks.reaper import reap_orphans
from tasks.run import Run, open_run


@dataclass(frozen=True)
class Workplace(Access):
    """Everything the stages of one run share. ``seconds`` grows as stages end."""

    run: Run
    seconds: dict[str, float] = field(default_factory=dict)

    def announce(self, sentence: str) -> None:
        """Said where progress is."""
        report("keys", sentence)

    @property
    def fleet_store(self) -> Store:
        """Rollout status of the local fleets: they belong to this machine, whoever shares the registry."""
        return DirStore(self.home.store)

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
        # Claimed, so that garbage collection leaves alone what this run is going to use.
        return manifest is None or self.blobs.claim(
            entry.digest for entry in Manifest.from_json(manifest).files.values()
        )

    def unpacked(self, manifest: Manifest) -> Path:
        """A folder with the manifest's files, as hard links to the blobs: what a server loads."""
        return self.blobs.link_tree(manifest, self.home.weights(manifest.set_digest))


@contextmanager
def open_workplace() -> Iterator[Workplace]:
    """A workplace in HEADGATE_HOME, in a new run that is alive for the length of the block.

    What processes of dead runs hold is freed first; garbage collection leaves alone what the run claims.
    """
    home = Home.from_environment(os.environ)
    reap_orphans(home)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    with open_run(home, run_id) as run:
        yield Workplace(home, os.environ, run)
