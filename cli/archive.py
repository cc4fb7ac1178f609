"""``headgate export`` and ``import``: versions move house."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.display import Display, print_json, say
from cli.registry_access import RegistryAccess
from cli.releases import Json
from registry.archive import export_version, import_archive
from registry.archive_check import Arrival
from registry.archive_seal import Exporter
from registry.errors import UsageError
from registry.plain_text import plain
from registry.publish import find_version
from registry.verify import size_of
from tasks.actor import actor
from tasks.progress import byte_counter, report
from tasks.workplace import open_workplace

_EXAMPLE = "`headgate export tiny/3 /media/stick/models`"
_READS = 3  # to check it, to copy it, to check the copy


def export(
    versions_and_folder: Annotated[
        list[str], typer.Argument(metavar="VERSION... DIR", help="NAME/NUMBER, once or more; then a folder.")
    ],
    as_json: Json = False,
) -> None:
    """Write versions, with images and all evidence, into one folder: an OCI image layout that tools read.

    The key that signs here vouches that this is all there is: nothing can be taken out on the way.
    """
    *references, folder = versions_and_folder
    if not references:
        raise UsageError("Name the versions, and after them the folder", next_step=_EXAMPLE)
    at = RegistryAccess()
    if find_version(at.store, folder):
        raise UsageError(f"{folder} is a version: last of all name the folder", next_step=_EXAMPLE)
    versions = [at.version(reference) for reference in references]
    exporter = Exporter(signer=at.signer, who=actor(), now=datetime.now(UTC))
    held = at.holdings  # after the signer: a key made just now is trusted
    total = sum(size_of(held, version) for version in versions)
    heard = byte_counter("export", lambda: total)
    with Display(bars=not as_json):
        for version in versions:
            export_version(held, version.reference, Path(folder), exporter, heard)
        report("export", "done", 1.0)
    if as_json:
        print_json({"exported": [version.reference for version in versions], "folder": folder, "ok": True})
    else:
        verb = "is" if len(references) == 1 else "are"
        say(f"{', '.join(references)} {verb} in {folder}. Over there: `headgate import {folder}`.")


def import_(
    folder: Annotated[Path, typer.Argument(help="What `headgate export` wrote.")], as_json: Json = False
) -> None:
    """Check everything in an archive against the keys trusted here, then keep its versions."""
    heard = byte_counter("import", lambda: _READS * sum(file.stat().st_size for file in _blobs(folder)))
    # In a run of its own: garbage collection leaves alone what an open run has claimed.
    with Display(bars=not as_json), open_workplace():
        report("import", "record and signatures")
        at = RegistryAccess()
        at.begin_store()
        arrivals = import_archive(at.holdings, folder, heard)
        report("import", "done", 1.0)
    kept = [arrival.version.reference for arrival in arrivals]
    if as_json:
        print_json({"imported": kept, "exports": [_exported(arrival) for arrival in arrivals], "ok": True})
        return
    for told in map(_exported, arrivals):
        say(plain(f"{told['version']} is here, as exported by {told['who']} at {told['at']}."))
    say(f"Next: `headgate promote {kept[-1]}`, or `headgate pin` what is for later.")


def _blobs(folder: Path) -> list[Path]:
    return [path for path in (folder / "blobs").rglob("*") if path.is_file()]


def _exported(arrival: Arrival) -> dict[str, str]:
    facts = arrival.seal.facts
    said = {"who": facts.get("who"), "at": facts.get("at"), "signer": arrival.seal.signer}
    return {"version": arrival.version.reference} | {name: str(value) for name, value in said.items()}
