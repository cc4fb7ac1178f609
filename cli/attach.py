"""``headgate attach``: a version's evidence beside its image, in a registry that others read."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli.display import print_json, print_table
from cli.registry_access import Reference, RegistryAccess
from cli.releases import Json
from registry.evidence import list_bundles, subjects_of
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
        "left out unsigned": len(records) - len(done.all),
    }
    if as_json:
        print_json({name.replace(" ", "_"): value for name, value in told.items()} | {"ok": True})
    else:
        print_table("Evidence attached", ["", ""], [[name, str(value)] for name, value in told.items()])
