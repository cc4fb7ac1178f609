"""``headgate versions``, ``headgate show`` and ``headgate diff``: what is in the registry."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.display import print_json, print_table, say
from cli.registry_access import Reference, RegistryAccess
from cli.releases import Json
from cli.version_view import print_difference, print_lineage
from registry.alias import Alias
from registry.alias_log import all_aliases, get_aliases, history
from registry.atomic import write_file
from registry.counting import Case
from registry.errors import UsageError
from registry.evidence import list_bundles, list_evidence
from registry.lineage import Lineage
from registry.lineage_page import render
from registry.lineage_trace import trace
from registry.policy import missing_evidence
from registry.predicates import WEIGHTS_SIGNATURE
from registry.publish import list_versions
from registry.version import ModelVersion
from registry.version_contents import Contents, read_contents
from registry.version_diff import compare


def versions(
    name: Annotated[str | None, typer.Argument(help="Only this model's versions.")] = None,
    as_json: Json = False,
) -> None:
    """List the published versions and which aliases point at them."""
    at = RegistryAccess()
    found = list_versions(at.store, name)
    aliases = all_aliases(at.store, at.trust, name)
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
    signature: Annotated[
        Path | None,
        typer.Option(help="Write the weights' signature here, for `model_signing verify`."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show where a version came from, what judged it, what became of it, and whether it may be promoted."""
    now = datetime.now(UTC)
    lineage = _lineage(version, now)
    written: dict[str, str | None] = {"html": None, "signature": None}
    if html:
        written["html"] = _write(html, render(lineage, now).encode())
    if signature:
        written["signature"] = _write(signature, _weights_signature(version))
    if as_json:
        print_json({**lineage.to_json(), **written, "ok": True})
        return
    print_lineage(lineage)
    for what, path in written.items():
        if path:
            say(f"The {'page' if what == 'html' else what} is {path}.")


def diff(before: Reference, after: Reference, as_json: Json = False) -> None:
    """Show what differs between two versions: weights, configuration, packages, and the gates' numbers."""
    at = RegistryAccess()
    difference = compare(_contents(at, before), _contents(at, after))
    if as_json:
        print_json({**difference.to_json(), "ok": True})
    else:
        print_difference(difference)


def _lineage(reference: str, now: datetime) -> Lineage:
    at = RegistryAccess()
    store, trust, policy = at.store, at.trust, at.policy
    contents = _contents(at, reference)
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


def _weights_signature(reference: str) -> bytes:
    at = RegistryAccess()
    found = at.version(reference)
    bundles = list_bundles(at.store, found.weights_set)
    for evidence in list_evidence(at.store, found.weights_set, at.trust):
        if evidence.kind == WEIGHTS_SIGNATURE and evidence.signer and evidence.digest:
            return bundles[evidence.digest]
    raise UsageError(
        f"No trusted key has signed the weights of {found.reference}",
        next_step=f"`headgate show {found.reference}` says what is there; releasing it again signs them",
    )


def _write(path: Path, data: bytes) -> str:
    write_file(path.expanduser().absolute(), data)
    return str(path)


def _contents(at: RegistryAccess, reference: str) -> Contents:
    return read_contents(at.store, at.blobs, at.trust, at.version(reference))


def _row(version: ModelVersion, aliases: list[str]) -> list[str]:
    return [
        version.reference,
        "\n".join(aliases),
        version.gpu_class,
        version.weights_set.short,
        version.source_commit[:12],
    ]
