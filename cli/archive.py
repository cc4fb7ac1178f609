"""``headgate export``, ``import``, ``store copy`` and ``store upgrade``: versions and stores move house."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.display import Display, print_json, say
from cli.releases import Json
from cli.verify import byte_counter, holdings
from registry.archive import export_version, import_archive
from registry.errors import UsageError
from registry.home import Home
from registry.key_ring import open_signer
from registry.open_store import open_store
from registry.policy_file import load_policy
from registry.publish import get_version
from registry.store_copy import copy_store
from registry.store_upgrade import Operator, upgrade
from registry.verify import size_of
from tasks.actor import actor
from tasks.progress import report

store_app = typer.Typer(no_args_is_help=True, help="Back up, restore, move and upgrade the whole store.")

_READS = 3  # to check it, to copy it, to check the copy

Address = Annotated[str, typer.Argument(help="A folder, or s3://BUCKET/PREFIX.")]


def export(
    versions_and_folder: Annotated[
        list[str], typer.Argument(metavar="VERSION... DIR", help="NAME/NUMBER, once or more; then a folder.")
    ],
    as_json: Json = False,
) -> None:
    """Write versions, with images and all evidence, into one folder: an OCI image layout that tools read."""
    *references, folder = versions_and_folder
    if not references:
        next_step = "`headgate export tiny/3 /media/stick/models`"
        raise UsageError("Name the versions, and after them the folder", next_step=next_step)
    held = holdings(_home())
    total = sum(size_of(held, get_version(held.store, reference)) for reference in references)
    heard = byte_counter("export", lambda: total)
    with Display(bars=not as_json):
        exported = [export_version(held, reference, Path(folder), heard) for reference in references]
        report("export", "done", 1.0)
    if as_json:
        print_json({"exported": [v.reference for v in exported], "folder": folder, "ok": True})
    else:
        say(f"{', '.join(references)} is in {folder}. Over there: `headgate import {folder}`.")


def import_(
    folder: Annotated[Path, typer.Argument(help="What `headgate export` wrote.")], as_json: Json = False
) -> None:
    """Check everything in an archive against the keys trusted here, then keep its versions."""
    heard = byte_counter("import", lambda: _READS * sum(file.stat().st_size for file in _blobs(folder)))
    with Display(bars=not as_json):
        report("import", "record and signatures")
        kept = [version.reference for version in import_archive(holdings(_home()), folder, heard)]
        report("import", "done", 1.0)
    if as_json:
        print_json({"imported": kept, "ok": True})
    else:
        say(f"{', '.join(kept)} is here, with all its evidence. Next: `headgate promote {kept[-1]}`.")


@store_app.command()
def copy(source: Address, target: Address, as_json: Json = False) -> None:
    """Make TARGET a copy of SOURCE: a backup, a restore, or a move; again copies what is new."""
    here, there = (open_store(os.environ, _home(), address) for address in (source, target))
    with Display(bars=not as_json):
        copied = copy_store(here, there, lambda n, of: report("copy", f"{n} of {of} records", n / max(of, 1)))
    if as_json:
        counts = {"records": copied.records, "written": copied.written, "removed": copied.removed}
        print_json({**counts, "ok": True})
    else:
        say(f"{target} has all {copied.records} records of {source}; {copied.written} of them are new.")


@store_app.command("upgrade")
def upgrade_store(as_json: Json = False) -> None:
    """Sign, with the key of this home, what an older Headgate recorded without signatures."""
    home = _home()
    signer = open_signer(os.environ, home, announce=say)
    held = holdings(home)
    operator = Operator(
        signer=signer, trust=held.trust, policy=load_policy(home), who=actor(), now=datetime.now(UTC)
    )
    with Display(bars=not as_json):
        done = upgrade(
            held.store,
            held.layout,
            operator,
            lambda n, of: report("upgrade", f"{n} of {of} versions", n / max(of, 1)),
        )
    if as_json:
        print_json({"done": done, "ok": True})
        return
    for sentence in done:
        say(sentence)
    say(f"{len(done)} things were signed." if done else "Everything was signed already.")


def _blobs(folder: Path) -> list[Path]:
    return [path for path in (folder / "blobs").rglob("*") if path.is_file()]


def _home() -> Home:
    return Home.from_environment(os.environ)
