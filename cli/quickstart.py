"""``headgate quickstart``: the whole way, on this machine, with a model made on the spot."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from cli import prefect_server
from cli.display import Display, print_json, print_table
from cli.releases import Json


def quickstart(
    model: Annotated[
        str | None,
        typer.Option(help="ORG/NAME on the hub, instead of a tiny model trained on the spot."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The gateway's port, if 8480 is taken.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Release v1, roll out v2 behind a canary, and see v3 rejected: real engines, gates and gateway."""
    started = time.monotonic()
    prefect_server.connect()
    from examples.quickstart.walkthrough import walk

    with Display(bars=not as_json):
        result = walk(model, port)
    if as_json:
        print_json(result)
        return
    rows = [["published", ", ".join(result["versions"])]]
    for rejected in result["rejected"]:
        name = rejected["name"]
        rows += [["rejected", f"{name}: {rejected['reason']}"], [f"{name} page", rejected["page"]]]
    rows += [
        [f"verdicts on {label}", ", ".join(f"{k} {v}" for k, v in verdicts.items())]
        for label, verdicts in result["verdicts"].items()
    ]
    rows.append(["scan", result["scan"]])
    rows += [[f"v2 {name}", digest] for name, digest in result["digests"].items()]
    rows.append(["weights moved", " -> ".join(f"{w} %" for w in result["rollout"]["weights"])])
    rows += [[f"seconds, {name}", f"{seconds:.1f}"] for name, seconds in result["stages"].items()]
    rows.append(["seconds, all", f"{time.monotonic() - started:.1f}"])
    rows.append(["reports", result["reports"]])
    rows.append(
        ["serving now", f"{result['gateway']} (stop it with `headgate down --fleet {result['fleet']}`)"]
    )
    print_table("Quickstart", ["", ""], rows)
