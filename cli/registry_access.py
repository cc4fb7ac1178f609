"""What commands work with at this home: its registry, the keys that count, the key that signs, its policy."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import typer

from cli.display import say
from registry.blobs import BlobStore
from registry.bundle import Signer
from registry.home import Home
from registry.key_ring import load_trust, open_signer
from registry.oci_layout import OciLayout
from registry.open_store import open_registry
from registry.policy import Policy
from registry.policy_file import load_policy
from registry.publish import get_version
from registry.store import Store
from registry.trust import Trust
from registry.verify import Holdings
from registry.version import ModelVersion

Reference = Annotated[str, typer.Argument(help="NAME/NUMBER, as `headgate versions` lists it.")]


def _home() -> Home:
    return Home.from_environment(os.environ)


@dataclass(frozen=True)
class RegistryAccess:
    """The registry that HEADGATE_HOME and HEADGATE_STORE name; every part is opened when it is asked for.

    Raises UsageError for what the environment, or a file in the home, names wrongly.
    """

    home: Home = field(default_factory=_home)

    @cached_property
    def store(self) -> Store:
        """Versions, aliases, evidence."""
        return open_registry(os.environ, self.home)

    @cached_property
    def signer(self) -> Signer:
        """The key to sign with; people are told when it was made just now, or does not count here."""
        return open_signer(os.environ, self.home, announce=say)

    @property
    def trust(self) -> Trust:
        """The keys whose signatures count now: a key that was made a moment ago is among them."""
        return load_trust(self.home)

    @cached_property
    def policy(self) -> Policy:
        """What aliases ask for."""
        return load_policy(self.home)

    @property
    def blobs(self) -> BlobStore:
        """Every file that is kept here, by content."""
        return BlobStore(self.home.blobs)

    @property
    def layout(self) -> OciLayout:
        """The images that are kept here."""
        return OciLayout(self.home.oci, self.blobs)

    @property
    def holdings(self) -> Holdings:
        """All of it, as checks, archives and upgrades take it."""
        return Holdings(
            store=self.store,
            trust=self.trust,
            layout=self.layout,
            blobs=self.blobs,
            weights=self.home.weights,
        )

    def version(self, reference: str) -> ModelVersion:
        """The version that somebody named; UsageError when there is none."""
        return get_version(self.store, reference)
