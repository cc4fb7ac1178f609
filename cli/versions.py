"""``headgate versions``, ``headgate show`` and ``headgate diff``: what is in the registry."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.display import print_json, print_table, say
from cli.releases import Json
from cli.version_view import print_difference, print_lineage
from registry.alias import Alias
from registry.alias_log import all_aliases, get_aliases, history
from registry.atomic import write_file
from registry.blobs import BlobStore
from registry.counting import Case
from registry.home import Home
from registry.key_ring import load_trust
from registry.lineage import Lineage
from registry.lineage_page import render
from registry.lineage_trace import trace
from registry.open_store import open_store
from registry.policy import missing_evidence
from registry.policy_file import load_policy
from registry.publish import get_version, list_versions
from registry.version import ModelVersion
from registry.version_contents import Contents, read_contents
from registry.version_diff import compare

Reference = Annotated[str, typer.Argument(help="NAME/NUMBER, as `headgate versions` lists it.")]


def versions(
    name: Annotated[str | None, typer.Argument(help="Only this model's versions.")] = None,
    as_json: Json = False,
) -> None:
    """List the published versions and which aliases point at them."""
    home = Home.from_environment(os.environ)
    store = open_store(os.environ, home)
    found = list_versions(store, name)
    aliases = all_aliases(store, load_trust(home), name)
    rows = [
        (version, pointing.names(version.number) if pointing else [])
        for version in found
        for pointing in [aliases.get((version.name, version.gpu_class))]
    ]
    if as_json:
        print_json({"versions": [{**v.to_json(), "aliases": a} for v, a in rows], "ok": True})
        return
    columns = ["version", "aliases", "gpu class", "weights", "commit"]
    print_table("Versions", columns, [_row(version, names) for version, names in rows])


def show(
    version: Reference,
    html: Annotated[
        Path | None, typer.Option(help="Write the whole lineage to this file: one page, needs nothing else.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show where a version came from, what judged it, what became of it, and whether it may be promoted."""
    now = datetime.now(UTC)
    lineage = _lineage(version, now)
    if html:
        write_file(html.expanduser().absolute(), render(lineage, now).encode())
    if as_json:
        print_json({**lineage.to_json(), "html": html and str(html), "ok": True})
        return
    print_lineage(lineage)
    if html:
        say(f"The page is {html}.")


def diff(before: Reference, after: Reference, as_json: Json = False) -> None:
    """Show what differs between two versions: weights, configuration, packages, and the gates' numbers."""
    home = Home.from_environment(os.environ)
    difference = compare(_contents(home, before), _contents(home, after))
    if as_json:
        print_json({**difference.to_json(), "ok": True})
    else:
        print_difference(difference)


def _lineage(reference: str, now: datetime) -> Lineage:
    home = Home.from_environment(os.environ)
    store, trust, policy = open_store(os.environ, home), load_trust(home), load_policy(home)
    contents = _contents(home, reference)
    version = contents.version
    return trace(
        Case(version, contents.evidence, now, trust),
        contents.files,
        moves=history(store, trust, version.name, version.gpu_class),
        aliases=get_aliases(store, trust, version.name, version.gpu_class),
        missing={
            alias: missing_evidence(policy, alias, version, contents.evidence, now, trust)
            for alias in (Alias.STAGING, Alias.PRODUCTION)
        },
    )


def _contents(home: Home, reference: str) -> Contents:
    store = open_store(os.environ, home)
    version = get_version(store, reference)
    return read_contents(store, BlobStore(home.blobs), load_trust(home), version)


def _row(version: ModelVersion, aliases: list[str]) -> list[str]:
    return [
        version.reference,
        "\n".join(aliases),
        version.gpu_class,
        version.weights_set.short,
        version.source_commit[:12],
    ]
