"""What one works with at a home: its registry, the keys that count and the one that signs, policy, files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from registry.blobs import BlobStore
from registry.bundle import Signer
from registry.home import Home
from registry.key_ring import load_trust
from registry.oci_layout import OciLayout
from registry.open_store import begin_registry, check_registry, open_registry, store_folder
from registry.own_key import open_signer
from registry.policy import Policy
from registry.policy_file import load_policy
from registry.store import Store
from registry.trust import Trust


@dataclass(frozen=True)
class Access:
    """A home and the environment variables that go with it; every part is opened when it is asked for.

    Raises UsageError for what a variable, or a file in the home, names wrongly.
    """

    home: Home
    env: Mapping[str, str]

    @cached_property
    def store(self) -> Store:
        """Versions, aliases, evidence: in the home, or where HEADGATE_STORE says there is a store."""
        check_registry(self.env, self.home)
        return open_registry(self.env, self.home)

    @property
    def store_folder(self) -> Path | None:
        """The folder that the store is in, or None where it is in a bucket."""
        return store_folder(self.env, self.home)

    def begin_store(self) -> None:
        """Let HEADGATE_STORE name a folder that is not there yet; announces it, as it may be mistyped."""
        if folder := begin_registry(self.env, self.home):
            self.announce(f"Began a new, empty store in {folder}: there was none (HEADGATE_STORE).")

    @cached_property
    def signer(self) -> Signer:
        """The key that signs: HEADGATE_SIGNING_KEY, or the home's own, made on first use."""
        return open_signer(self.env, self.home, self.announce)

    def announce(self, sentence: str) -> None:
        """Hears of a key or a store that was begun just now, or what does not count; extended to show it."""

    @property
    def trust(self) -> Trust:
        """The keys whose signatures count now: a key that was made a moment ago is among them."""
        return load_trust(self.home)

    @cached_property
    def policy(self) -> Policy:
        """Which evidence lets an alias point at a version."""
        return load_policy(self.home)

    @property
    def blobs(self) -> BlobStore:
        """Every file that is kept here, by content."""
        return BlobStore(self.home.blobs)

    @property
    def layout(self) -> OciLayout:
        """The images that are kept here: the default image registry."""
        return OciLayout(self.home.oci, self.blobs)
