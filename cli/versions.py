"""``headgate versions`` and ``headgate show``: what is in the registry."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli.display import print_json, print_table
from cli.releases import Json
from registry.alias import get_aliases
from registry.dir_store import DirStore
from registry.evidence import list_evidence
from registry.home import Home
from registry.publish import get_version, list_versions
from registry.store import Store
from registry.version import ModelVersion


def versions(
    name: Annotated[str | None, typer.Argument(help="Only this model's versions.")] = None,
    as_json: Json = False,
) -> None:
    """List the published versions and which aliases point at them."""
    store = _store()
    rows = [(version, _aliases(store, version)) for version in list_versions(store, name)]
    if as_json:
        print_json({"versions": [{**v.to_json(), "aliases": a} for v, a in rows], "ok": True})
        return
    columns = ["version", "aliases", "gpu class", "weights", "commit"]
    print_table("Versions", columns, [_row(version, aliases) for version, aliases in rows])


def show(
    version: Annotated[str, typer.Argument(help="NAME/NUMBER, as `headgate versions` lists it.")],
    as_json: Json = False,
) -> None:
    """Show one version: its digests, how it was made, and the evidence about it."""
    store = _store()
    found = get_version(store, version)
    evidence = list_evidence(store, found.release_digest)
    record = found.to_json()
    if as_json:
        aliases = _aliases(store, found)
        print_json(
            {"version": record, "aliases": aliases, "evidence": [e.to_json() for e in evidence], "ok": True}
        )
        return
    print_table(found.reference, ["", ""], [[key, str(value)] for key, value in record.items()])
    rows = [
        [
            e.kind,
            str(e.facts.get("at", ""))[:19].replace("T", " "),
            str(e.verdict.outcome) if e.verdict else "-",
            finding,
        ]
        for e in evidence
        for finding in ([f.message for f in e.verdict.findings] if e.verdict else [""])
    ]
    print_table("Evidence", ["kind", "when", "verdict", "finding"], rows)


def _store() -> Store:
    return DirStore(Home.from_environment(os.environ).store)


def _aliases(store: Store, version: ModelVersion) -> list[str]:
    aliases = get_aliases(store, version.name, version.gpu_class)
    named = {
        "candidate": aliases.candidate,
        "production": aliases.production,
        "previous": aliases.previous,
    }
    return [alias for alias, number in named.items() if number == version.number]


def _row(version: ModelVersion, aliases: list[str]) -> list[str]:
    return [
        version.reference,
        "\n".join(aliases),
        version.gpu_class,
        version.weights_set.short,
        version.source_commit[:12],
    ]
