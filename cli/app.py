"""The command line: registers the commands."""

from __future__ import annotations

import typer

from cli import (
    aliases,
    archive,
    attach,
    fetch,
    fleets,
    garbage,
    keys,
    quantize,
    quickstart,
    releases,
    stores,
    suites,
    verify,
    versions,
)

app = typer.Typer(
    name="headgate",
    help="A release pipeline for self-hosted LLMs: from a hub to a canary-verified fleet, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(quickstart.quickstart)
app.command()(releases.release)
app.command()(fetch.fetch)
app.command()(releases.regate)
app.command()(releases.promote)
app.command()(quantize.quantize)
app.command()(versions.versions)
app.command()(versions.show)
app.command()(aliases.approve)
app.command()(aliases.stage)
app.command()(aliases.history)
app.command()(aliases.vouch)
app.command()(versions.diff)
app.command()(attach.attach)
app.command()(attach.detach)
app.command()(verify.verify)
app.command("export")(archive.export)
app.command("import")(archive.import_)
app.command()(garbage.gc)
app.command()(garbage.pin)
app.command()(garbage.unpin)
app.command()(garbage.reconcile)
app.command()(fleets.status)
app.command()(fleets.down)
app.add_typer(keys.app, name="keys")
app.add_typer(stores.app, name="store")
app.add_typer(suites.app, name="suites")
