"""``headgate gc``, ``pin``, ``unpin`` and ``reconcile``: what a disk keeps, and a registry that is whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli import prefect_server
from cli.aliases import Why
from cli.display import Display, print_json, print_table, say
from cli.registry_access import Reference, RegistryAccess
from cli.releases import Json
from registry.manifests import read_manifest
from registry.pins import Pin
from registry.pins import pin as put_pin
from registry.pins import unpin as take_pin
from registry.sweep import missing_bytes
from tasks.actor import actor
from tasks.disk import in_words

_LEFT = 10  # the exit code when something is wrong that somebody has to see to
_UNSEEN = 40  # nothing is, as far as could be seen


def gc(
    apply: Annotated[bool, typer.Option("--apply", help="Remove it; without, nothing changes.")] = False,
    grace: Annotated[str, typer.Option(help="What was used within this time stays (90d, 12h).")] = "24h",
    rollbacks: Annotated[
        int, typer.Option(help="Versions that were in production before and stay, per GPU class.")
    ] = 3,
    rollback_window: Annotated[
        str, typer.Option(help="All that were in production within this time stay too.")
    ] = "30d",
    logs: Annotated[
        str, typer.Option(help="How long the folders of runs, and texts of evaluations, stay.")
    ] = "90d",
    weights_window: Annotated[
        str, typer.Option(help="How long sets stay in the weights store that only dead versions name.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Say what nothing needs any more on this machine's disk, and how many bytes that frees; or remove it.

    What no version names goes from the weights store, too. Exits with 40 when that could not be looked at.
    """
    prefect_server.connect()
    from flows.collect_garbage import collect_garbage as flow

    with Display(bars=not as_json):
        result = flow(apply, grace, rollbacks, rollback_window, logs, weights_window)
    if as_json:
        print_json({**result, "ok": not result["unseen"]})
    else:
        _show(result, apply=apply)
    if result["unseen"]:
        raise typer.Exit(_UNSEEN)


def _show(result: dict[str, Any], *, apply: bool) -> None:
    kept = [[reference, "\n".join(why)] for reference, why in result["live"].items()]
    print_table("Versions that stay", ["version", "why"], kept)
    rows = [[kind["kind"], str(kind["count"]), in_words(kind["bytes"])] for kind in result["kinds"]]
    unused = f"unused since {result['unused_since'][:16].replace('T', ' ')} UTC"
    if rows:
        print_table("Collected" if apply else "Garbage", ["what", "count", "frees"], rows)
        size = in_words(result["bytes"])
        say(f"{size} {unused} {'are free now' if apply else 'would be freed: add --apply'}.")
    else:
        say(f"There is no garbage {unused}.")
    if result["unseen"]:
        say(f"Something is left to do in the weights store. {result['unseen']}")


def pin(version: Reference, why: Why, as_json: Json = False) -> None:
    """Keep a version's files, whatever happens to its aliases."""
    at = RegistryAccess()
    found = at.version(version)
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    put_pin(at.store, Pin(found.reference, actor(), why, now))
    # The pin first: from here on a collector that begins sees it, and one that began meets the claim.
    weights = read_manifest(at.store, found.weights_manifest)
    missing = missing_bytes(found, weights, at.blobs, at.layout) if weights else []
    if as_json:
        print_json({"version": found.reference, "missing": missing, "ok": True})
        return
    say(f"{found.reference} is pinned: garbage collection leaves its files alone.")
    if missing:
        say(f"On this machine {' and '.join(missing)}: release it again to have it whole here.")


def unpin(version: Reference, as_json: Json = False) -> None:
    """Take a pin out; the files stay while anything else needs them."""
    there = take_pin(RegistryAccess().store, version)
    if as_json:
        print_json({"version": version, "was_pinned": there, "ok": True})
    else:
        say(f"{version} is not pinned any more." if there else f"{version} was not pinned.")


def reconcile(
    apply: Annotated[bool, typer.Option("--apply", help="Mend it; without, nothing changes.")] = False,
    as_json: Json = False,
) -> None:
    """Find what is half done or has come apart in the registry; or mend it.

    Exits with 10 when some of it is left, with 40 when none is and a place could not be looked at.
    """
    prefect_server.connect()
    from flows.reconcile import reconcile as flow

    with Display(bars=not as_json):
        result = flow(apply)
    if as_json:
        print_json({**result, "ok": not (result["left"] or result["unseen"])})
    elif result["problems"]:
        rows = [[row["what"], _state(row), row["remedy"]] for row in result["problems"]]
        print_table("Found", ["what", "state", "what helps"], rows)
    else:
        say("Everything is whole.")
    if result["left"] or result["unseen"]:
        raise typer.Exit(_LEFT if result["left"] else _UNSEEN)


def _state(row: dict[str, Any]) -> str:
    words = ("mended", "harmless", "unseen")
    return next((word for word in words if row[word]), "open")
