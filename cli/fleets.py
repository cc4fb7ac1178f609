"""``headgate status`` and ``headgate down``: the local fleet."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli import prefect_settings
from cli.display import Display, print_json, print_table
from cli.releases import Json
from fleet.local_fleet import LocalFleet
from registry.dir_store import DirStore
from registry.home import Home

FleetName = Annotated[str, typer.Option("--fleet", help="The fleet's name.")]


def status(fleet: FleetName = "local", as_json: Json = False) -> None:
    """Show what the fleet serves, and how far its rollout is."""
    prefect_settings.apply()
    from tasks.roll_out import load_status

    home = Home.from_environment(os.environ)
    observed = LocalFleet(home, fleet).observed()
    rollout = load_status(DirStore(home.store), fleet)
    if as_json:
        last = rollout.to_json() if rollout else None
        print_json({"fleet": fleet, "observed": observed.to_json(), "rollout": last, "ok": True})
        return
    gateway = f"http://127.0.0.1:{observed.port}" if observed.port else "down"
    route = observed.route
    rows = [["gateway", gateway], ["stable", route.stable or "-"]]
    rows.append(["canary", f"{route.canary} at {route.canary_weight} %" if route.canary else "-"])
    rows += [
        [f"replica {r.revision}", f"{'ready' if r.ready else 'not ready'}, pid {r.pid}, port {r.port}"]
        for r in observed.replicas
    ]
    if rollout:
        rows.append([f"rollout of {rollout.name}", f"{rollout.phase}: {rollout.reason}"])
    rows.append(["logs", str(home.fleets / fleet)])
    print_table(f"Fleet {fleet}", ["", ""], rows)


def down(fleet: FleetName = "local", as_json: Json = False) -> None:
    """Stop the fleet: gateway, replicas, supervisor. Versions and evidence stay."""
    prefect_settings.apply()
    from tasks.roll_out import take_down

    with Display(bars=not as_json):
        take_down(Home.from_environment(os.environ), fleet)
    if as_json:
        print_json({"fleet": fleet, "ok": True})
