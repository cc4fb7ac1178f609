"""``headgate attach``: a version's evidence beside its image, in a registry that others read."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli.display import print_json, print_table
from cli.releases import Json
from registry.evidence import list_bundles, subjects_of
from registry.home import Home
from registry.publish import get_version
from tasks.actor import actor


def attach(
    version: Annotated[str, typer.Argument(help="NAME/NUMBER, as `headgate versions` lists it.")],
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
    from registry.open_store import open_store

    place = Repository.parse(repository)
    store = open_store(os.environ, Home.from_environment(os.environ))
    found = get_version(store, version)
    records = [data for subject in subjects_of(found) for data in list_bundles(store, subject).values()]
    with OciClient(place, docker_credentials(place.host, os.environ)) as client:
        done = attachment.attach(client, store, actor(), found.image, records)
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
