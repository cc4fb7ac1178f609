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
from registry.alias import Alias, Aliases
from registry.alias_chain import Chain
from registry.alias_history import RECORD_HELPS, Log, log_of, swapped
from registry.atomic import write_file
from registry.counting import Case
from registry.errors import InfrastructureError, Refused, UsageError
from registry.evidence import list_bundles, list_evidence
from registry.lineage import Lineage
from registry.lineage_page import render
from registry.lineage_trace import trace
from registry.listing import list_with_aliases
from registry.lost_evidence import check_kept
from registry.open_case import open_case
from registry.policy import exemption, missing_evidence
from registry.predicates import WEIGHTS_SIGNATURE
from registry.problem import Problem
from registry.version import ModelVersion
from registry.version_contents import Contents, read_contents
from registry.version_diff import compare


def versions(
    name: Annotated[str | None, typer.Argument(help="Only this model's versions.")] = None,
    as_json: Json = False,
) -> None:
    """List the published versions and which aliases point at them.

    Exits with 40 when a version's record or a move of an alias is gone or damaged, or the aliases of a model
    cannot be believed: those are shown as `?`, or null.
    """
    at = RegistryAccess()
    listing = list_with_aliases(at.store, at.trust, name)
    rows, problems = listing.rows, listing.problems
    if as_json:
        listed = [{**version.to_json(), "aliases": names} for version, names in rows]
        print_json({"versions": listed, "problems": problems, "ok": not problems})
    elif rows or problems:
        columns = ["version", "aliases", "gpu class", "weights", "commit"]
        print_table("Versions", columns, [_row(version, names) for version, names in rows])
    else:
        say(at.nothing_published(name))
    _end_with(problems)


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
    """Show where a version came from, what judged it, what became of it, and whether it may be promoted.

    Exits with 40 when the aliases cannot be believed, or moves of them are gone or damaged; what is left is
    shown.
    """
    for path in filter(None, (html, signature)):
        _refuse_no_file(path)
    now = datetime.now(UTC)
    lineage, problems = _lineage(version, now)
    written: dict[str, str | None] = {"html": None, "signature": None}
    if html:
        written["html"] = _write(html, render(lineage, now).encode())
    if signature:
        written["signature"] = _write(signature, _weights_signature(version))
    if as_json:
        print_json({**lineage.to_json(), **written, "problems": problems, "ok": not problems})
    elif html or signature:
        for what, file in written.items():
            if file:
                say(f"The {'page' if what == 'html' else what} is {file}.")
    else:
        print_lineage(lineage)
    _end_with(problems)


def diff(before: Reference, after: Reference, as_json: Json = False) -> None:
    """Show what differs between two versions: weights, configuration, packages, and the gates' numbers."""
    at = RegistryAccess()
    difference = compare(_contents(at, before), _contents(at, after))
    if as_json:
        print_json({**difference.to_json(), "ok": True})
    else:
        print_difference(difference)


def _lineage(reference: str, now: datetime) -> tuple[Lineage, list[str]]:
    """What there is to show, and what is wrong with the log of the aliases.

    No alias is shown of a version whose record is another than the one they were moved to.
    """
    at = RegistryAccess()
    contents = _contents(at, reference)
    version = contents.version
    chain = Chain(at.store, at.trust, version.name, version.gpu_class)
    log = log_of(chain)
    case = open_case(at.store, version, at.trust, now, found=contents.evidence, log=log)
    aliases, unbelieved = _aliases(chain, log)
    changed = swapped(chain, log, version.number)
    lineage = trace(
        case,
        contents.files,
        moves=log.told,
        aliases=Aliases() if changed else aliases,
        missing=_missing(at, case),
        exempt=exemption(case),
    )
    problems = [*(Problem(wrong, chain.put_back) for wrong in log.wrong)]
    problems += [Problem(other, RECORD_HELPS) for other in changed]
    return lineage, [*unbelieved, *map(str, problems)]


def _aliases(chain: Chain, log: Log) -> tuple[Aliases, list[str]]:
    """The aliases, none where they cannot be believed; and why not, unless the log is at fault."""
    try:
        return chain.latest()[1].aliases, []
    except InfrastructureError as damage:
        return Aliases(), [] if log.wrong else [str(damage)]


def _end_with(problems: list[str]) -> None:
    """Say what is wrong, and end with the code for it; nothing where nothing is."""
    for problem in problems:
        say(problem)
    if problems:
        raise typer.Exit(InfrastructureError.exit_code)


def _missing(at: RegistryAccess, case: Case) -> dict[str, list[str]]:
    """By alias, what the policy still asks for; and first of all, evidence that somebody removed."""
    wanted = (Alias.STAGING, Alias.PRODUCTION)
    missing = {str(alias): missing_evidence(at.policy, alias, case) for alias in wanted}
    try:
        check_kept(at.store, at.layout, case.version, {e.digest for e in case.found}, at.trust)
    except Refused as removed:
        return {alias: [f"{removed.what}: {removed.why}", *lacks] for alias, lacks in missing.items()}
    return missing


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


def _refuse_no_file(path: Path) -> None:
    """Raises UsageError for what no file can be written to, before anything is."""
    folder = path.expanduser().absolute().parent
    why = ""
    if str(path) == "-":
        why = "standard output is for people; the page and the signature are files"
    elif not folder.is_dir():
        why = f"there is no folder {folder}"
    elif path.expanduser().is_dir():
        why = "it is a folder"
    if why:
        raise UsageError(
            f"Nothing is written to {path}", why=why, next_step="name a file in a folder that is there"
        )


def _write(path: Path, data: bytes) -> str:
    whole = path.expanduser().absolute()
    write_file(whole, data)
    return str(whole)


def _contents(at: RegistryAccess, reference: str) -> Contents:
    return read_contents(at.store, at.blobs, at.trust, at.version(reference))


def _row(version: ModelVersion, aliases: list[str] | None) -> list[str]:
    return [
        version.reference,
        "?" if aliases is None else "\n".join(aliases),
        version.gpu_class,
        version.weights_set.short,
        version.short_commit,
    ]
