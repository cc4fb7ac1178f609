"""``headgate store copy`` and ``store upgrade``: whole stores move house, and grow up."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.display import Display, print_json, say
from cli.registry_access import RegistryAccess
from cli.releases import Json
from registry.open_store import open_ends
from registry.plain_text import counted
from registry.store_copy import copy_store
from registry.store_upgrade import Operator, upgrade
from tasks.actor import actor
from tasks.progress import report

app = typer.Typer(no_args_is_help=True, help="Back up, restore, move and upgrade the whole store.")

Address = Annotated[str, typer.Argument(help="A folder, or s3://BUCKET/PREFIX.")]

_LEFT = 13  # the exit code when a person has to look


@app.command()
def copy(source: Address, target: Address, as_json: Json = False) -> None:
    """Make TARGET a copy of SOURCE: a backup, a restore, or a move; again copies what is new.

    Exits with 2 when either is not what a copy can be made of or you may not use it, with 10 when a record is
    damaged or TARGET has what SOURCE has not, with 40 when a disk or a service fails.
    """
    here, there = open_ends(os.environ, source, target)
    with Display(bars=not as_json):
        copied = copy_store(here, there, lambda n, of: report("copy", f"{n} of {of} records", n / max(of, 1)))
    if as_json:
        counts = {"records": copied.records, "written": copied.written, "removed": copied.removed}
        print_json({**counts, "ok": True})
    else:
        say(f"{target} is a copy of {source}: {counted(copied.records, 'record')}, {copied.written} new.")


@app.command("upgrade")
def upgrade_store(as_json: Json = False) -> None:
    """Sign, with the key of this home, what an older Headgate recorded without signatures.

    What a key signed that is not trusted here is left as it is. Exits with 13 when anything was left.
    """
    at = RegistryAccess()
    store = at.store  # before a key is made: there may be no store
    signer, trust = at.signer, at.trust  # in this order: a key made just now is trusted
    operator = Operator(signer=signer, trust=trust, policy=at.policy, who=actor(), now=datetime.now(UTC))
    with Display(bars=not as_json):
        upgraded = upgrade(
            store,
            at.layout,
            operator,
            lambda n, of: report("upgrade", f"{n} of {of} versions", n / max(of, 1)),
        )
    done, left = upgraded.done, upgraded.left
    if as_json:
        print_json({"done": done, "left": left, "ok": not left})
    else:
        for sentence in (*done, *left):
            say(sentence)
        told = f"{counted(len(done), 'thing')} signed, {len(left)} left."
        said = "Everything was signed already." if upgraded.versions else at.nothing_published()
        say(told if done or left else said)
    if left:
        raise typer.Exit(_LEFT)
