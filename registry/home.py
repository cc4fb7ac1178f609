"""Where Headgate keeps things on one machine: the folders under HEADGATE_HOME. Names them, creates none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.digest import Digest


@dataclass(frozen=True)
class Home:
    """The home folder. Always absolute: daemons of a fleet run in other working directories."""

    root: Path

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Home:
        """HEADGATE_HOME, or ``.headgate`` in the user's home folder."""
        chosen = env.get("HEADGATE_HOME")
        if chosen:
            return cls(Path(chosen).expanduser().absolute())
        return cls((Path(env["HOME"]) if env.get("HOME") else Path.home()).absolute() / ".headgate")

    @property
    def store(self) -> Path:
        """Version records, aliases, evidence, rollout status: the root of a DirStore."""
        return self.root / "store"

    @property
    def blobs(self) -> Path:
        """Content-addressed files: the root of a BlobStore."""
        return self.root / "blobs"

    @property
    def oci(self) -> Path:
        """The OCI image layout."""
        return self.root / "oci"

    @property
    def cache(self) -> Path:
        """What can be made again: stage results, weights folders, Trivy's database."""
        return self.root / "cache"

    @property
    def texts(self) -> Path:
        """What items of suites looked like and what was answered: see ``kept_texts``."""
        return self.cache / "texts"

    @property
    def runs(self) -> Path:
        """One folder of logs per run."""
        return self.root / "runs"

    @property
    def fleets(self) -> Path:
        """One folder of state and logs per local fleet."""
        return self.root / "fleets"

    @property
    def keys(self) -> Path:
        """The key this home signs with, and the public keys it trusts: see ``own_key``, ``key_ring``."""
        return self.root / "keys"

    @property
    def policy(self) -> Path:
        """What aliases ask for before they move: see ``policy_file``."""
        return self.root / "policy.yaml"

    @property
    def seen(self) -> Path:
        """How far the alias logs of each registry were seen: see ``log_memory``."""
        return self.root / "seen"

    @property
    def objections(self) -> Path:
        """What was said against versions of each registry, as it was read: see ``evidence``."""
        return self.root / "objections"

    def weights(self, weights_set: Digest) -> Path:
        """The folder a server loads these weights from: hard links to blobs."""
        return self.cache / "weights" / weights_set.hex
