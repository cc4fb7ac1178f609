"""What commands work with at this home: its registry, the keys that count, the key that signs, its policy."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli.display import say
from registry.access import Access
from registry.home import Home
from registry.named_version import named_version
from registry.publish import list_versions
from registry.validation import did_you_mean
from registry.verify import Holdings
from registry.version import ModelVersion

Reference = Annotated[str, typer.Argument(help="NAME/NUMBER, as `headgate versions` lists it.")]


class RegistryAccess(Access):
    """The registry that HEADGATE_HOME and HEADGATE_STORE name, for a command."""

    def __init__(self) -> None:
        super().__init__(Home.from_environment(os.environ), os.environ)

    def announce(self, sentence: str) -> None:
        """Said to people, beside the result."""
        say(sentence)

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
        """The version that somebody named; raises as ``named_version``."""
        return named_version(self.store, self.trust, reference)

    def nothing_published(self, name: str | None = None) -> str:
        """What to say where a list of versions, all or a model's, is empty: of which store, and what next."""
        if name and (known := {version.name for version in list_versions(self.store)}):
            return f"The store {self.store!r} holds no versions of {name} ({did_you_mean(name, known)})."
        next_step = "`headgate release SPEC`, `headgate import DIR`, or name another store in HEADGATE_STORE"
        return f"The store {self.store!r} holds no versions yet. Next: {next_step}."
