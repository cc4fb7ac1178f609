"""``headgate gc``, ``pin``, ``unpin`` and ``reconcile``: what a disk keeps, and a registry that is whole."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli import prefect_settings
from cli.aliases import Reference, Why
from cli.display import Display, print_json, print_table, say
from cli.releases import Json
from registry.blobs import BlobStore
from registry.errors import UsageError
from registry.home import Home
from registry.oci_layout import OciLayout
from registry.open_store import open_store
from registry.pins import Pin
from registry.pins import pin as put_pin
from registry.pins import unpin as take_pin
from registry.publish import get_version
from registry.sweep import missing_bytes
from registry.version_contents import read_manifest
from tasks.actor import actor
from tasks.disk import in_words

_LEFT = 10  # the exit code when something is wrong that somebody has to see to


def gc(
    apply: Annotated[bool, typer.Option("--apply", help="Remove it; without, nothing changes.")] = False,
    grace: Annotated[str, typer.Option(help="What was used within this time stays (90d, 12h).")] = "24h",
    rollbacks: Annotated[
        int, typer.Option(help="Versions that were in production before and stay, per GPU class.")
    ] = 3,
    rollback_window: Annotated[
        str, typer.Option(help="All that were in production within this time stay too.")
    ] = "30d",
    logs: Annotated[str, typer.Option(help="How long the folders of runs stay.")] = "90d",
    as_json: Json = False,
) -> None:
    """Say what nothing needs any more on this machine's disk, and how many bytes that frees; or remove it."""
    prefect_settings.apply()
    from flows.collect_garbage import collect_garbage as flow

    with Display(bars=not as_json):
        result = flow(apply, grace, rollbacks, rollback_window, logs)
    if as_json:
        print_json({**result, "ok": True})
        return
    kept = [[reference, "\n".join(why)] for reference, why in result["live"].items()]
    print_table("Versions that stay", ["version", "why"], kept)
    rows = [[kind["kind"], str(kind["count"]), in_words(kind["bytes"])] for kind in result["kinds"]]
    title = "Collected" if apply else "Garbage"
    print_table(f"{title}, unused since {result['unused_since']}", ["what", "count", "frees"], rows)
    say(f"{in_words(result['bytes'])} {'are free now' if apply else 'would be freed: add --apply'}.")


def pin(version: Reference, why: Why, as_json: Json = False) -> None:
    """Keep a version's files, whatever happens to its aliases."""
    home = Home.from_environment(os.environ)
    store = open_store(os.environ, home)
    found = get_version(store, version)
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    put_pin(store, Pin(found.reference, actor(), why, at))
    # The pin first: from here on a collector that begins sees it, and one that began meets the claim.
    weights = read_manifest(store, found.weights_manifest)
    blobs = BlobStore(home.blobs)
    missing = missing_bytes(found, weights, blobs, OciLayout(home.oci, blobs)) if weights else []
    if as_json:
        print_json({"version": found.reference, "missing": missing, "ok": True})
        return
    say(f"{found.reference} is pinned: garbage collection leaves its files alone.")
    if missing:
        say(f"On this machine {' and '.join(missing)}: release it again to have it whole here.")


def unpin(version: Reference, as_json: Json = False) -> None:
    """Take a pin out; the files stay while anything else needs them."""
    store = open_store(os.environ, Home.from_environment(os.environ))
    try:
        there = take_pin(store, version)
    except ValueError as problem:
        raise UsageError(str(problem), next_step="write it as NAME/NUMBER, for example tiny/3") from problem
    if as_json:
        print_json({"version": version, "was_pinned": there, "ok": True})
    else:
        say(f"{version} is not pinned any more." if there else f"{version} was not pinned.")


def reconcile(
    apply: Annotated[bool, typer.Option("--apply", help="Mend it; without, nothing changes.")] = False,
    as_json: Json = False,
) -> None:
    """Find what is half done or has come apart in the registry; or mend it. Exit code 10: some is left."""
    prefect_settings.apply()
    from flows.reconcile import reconcile as flow

    with Display(bars=not as_json):
        result = flow(apply)
    if as_json:
        print_json({**result, "ok": not result["left"]})
    elif result["problems"]:
        rows = [[row["what"], _state(row), row["remedy"]] for row in result["problems"]]
        print_table("Found", ["what", "state", "what helps"], rows)
    else:
        say("Everything is whole.")
    if result["left"]:
        raise typer.Exit(_LEFT)


def _state(row: dict[str, Any]) -> str:
    return "mended" if row["mended"] else "harmless" if row["harmless"] else "open"
