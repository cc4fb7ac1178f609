"""``headgate attach`` and ``detach``: a version's evidence beside its image, where others read it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli.display import print_json, print_table, say
from cli.registry_access import Reference, RegistryAccess
from cli.releases import Json
from registry.errors import UsageError
from registry.evidence import list_bundles, subjects_of
from registry.referrers import statement
from tasks.actor import actor


def attach(
    version: Reference,
    repository: Annotated[
        str, typer.Argument(help="REGISTRY/REPOSITORY the version's image was pushed to, with any tool.")
    ],
    as_json: Json = False,
) -> None:
    """Attach all evidence of a version to its image, where cosign and admission controllers look for it."""
    # An HTTP client takes a while to import, and the other commands do without.
    from registry import attachment
    from registry.oci_auth import docker_credentials
    from registry.oci_client import OciClient, Repository

    place = Repository.parse(repository)
    at = RegistryAccess()
    found = at.version(version)
    records = [data for subject in subjects_of(found) for data in list_bundles(at.store, subject).values()]
    with OciClient(place, docker_credentials(place.host, os.environ)) as client:
        done = attachment.attach(client, at.store, actor(), found.image, records)
    told = {
        "version": found.reference,
        "image": f"{place}@{found.image}",
        "attached": len(done.new),
        "already there": len(done.all) - len(done.new),
        "left out unsigned": sum(statement(data) is None for data in records),
    }
    if as_json:
        print_json({name.replace(" ", "_"): value for name, value in told.items()} | {"ok": True})
    else:
        print_table("Evidence attached", ["", ""], [[name, str(value)] for name, value in told.items()])


def detach(
    version: Reference,
    repository: Annotated[str, typer.Argument(help="REGISTRY/REPOSITORY that `attach` was given.")],
    as_json: Json = False,
) -> None:
    """Let `reconcile` look after a version's evidence there no longer. What is in the registry stays."""
    from registry import attachment
    from registry.oci_client import Repository

    place = Repository.parse(repository)
    at = RegistryAccess()
    found = at.version(version)
    if not attachment.forget(at.store, found.image, place):
        known = [str(a.repository) for a in attachment.attachments(at.store) if a.image == found.image]
        raise UsageError(
            f"{found.reference} was not attached in {place}",
            why=f"it is attached in {', '.join(known) or 'no registry'}",
            next_step="name one of those" if known else "nothing: there is no place to forget",
        )
    if as_json:
        print_json({"version": found.reference, "forgotten": f"{place}@{found.image}", "ok": True})
    else:
        say(f"`headgate reconcile` looks after {found.reference} in {place} no longer.")
        say("What is attached there stays; delete it with the registry's own tools, if it has to go.")
