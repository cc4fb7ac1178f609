"""``headgate status`` and ``headgate down``: the local fleets."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Annotated, Any

import typer

from cli import prefect_settings
from cli.display import Display, print_json, print_table, say
from cli.releases import Json
from fleet.local_fleet import LocalFleet
from fleet.roster import KnownFleet, get_fleet, the_fleet
from fleet.router import ObservedState, Route
from fleet.status import RolloutStatus
from registry.errors import InfrastructureError
from registry.home import Home
from tasks.fleet_records import known_fleets

_NONE = "No fleet has been started here."
_NAMED = typer.Option("--fleet", help="The fleet's name; not needed where there is one.")


def status(
    fleet: Annotated[str | None, _NAMED] = None,
    as_json: Json = False,
) -> None:
    """Show what the fleets serve, and how far their rollouts are; all of them, or one in detail."""
    home = Home.from_environment(os.environ)
    fleets = known_fleets(home)
    if fleet is not None:
        known = get_fleet(fleets, fleet)
        _show_one(home, known, LocalFleet(home, fleet).observed(), as_json=as_json)
    elif as_json:
        listed = [_as_json(known, _observed(home, known)) for known in fleets]
        print_json({"fleets": listed, "ok": True})
    elif not fleets:
        say(_NONE)
    elif len(fleets) == 1:
        _show_one(home, fleets[0], LocalFleet(home, fleets[0].name).observed(), as_json=False)
    else:
        rows = [_row(known, _observed(home, known)) for known in fleets]
        print_table("Fleets", ["fleet", "gateway", "stable", "canary", "rollout"], rows)


def down(
    fleet: Annotated[str | None, _NAMED] = None,
    as_json: Json = False,
) -> None:
    """Stop the fleet: gateway, replicas, supervisor. Versions and evidence stay."""
    home = Home.from_environment(os.environ)
    fleets = known_fleets(home)
    known = the_fleet(fleets) if fleet is None else get_fleet(fleets, fleet)
    if known:
        _take_down(home, known.name, bars=not as_json)
    else:
        say(_NONE)
    if as_json:
        print_json({"fleet": known and known.name, "ok": True})


def _take_down(home: Home, name: str, *, bars: bool) -> None:
    prefect_settings.apply()
    from tasks.roll_out import take_down

    with Display(bars=bars):
        take_down(home, name)


def _observed(home: Home, known: KnownFleet) -> ObservedState:
    """What a fleet is; one that cannot be asked has that as its problem, and does not hide the others."""
    try:
        return LocalFleet(home, known.name).observed()
    except InfrastructureError as error:
        return replace(ObservedState(), problem=str(error))


def _as_json(known: KnownFleet, observed: ObservedState) -> dict[str, Any]:
    last = known.status.to_json() if known.status else None
    return {"fleet": known.name, "observed": observed.to_json(), "rollout": last}


def _show_one(home: Home, known: KnownFleet, observed: ObservedState, *, as_json: bool) -> None:
    if as_json:
        print_json({**_as_json(known, observed), "ok": True})
        return
    rows = [["gateway", _gateway(observed)], ["stable", observed.route.stable or "-"]]
    rows.append(["canary", _canary(observed.route)])
    rows += [
        [f"replica {r.revision}", f"{'ready' if r.ready else 'not ready'}, pid {r.pid}, port {r.port}"]
        for r in observed.replicas
    ]
    if known.status:
        rows.append([f"rollout of {known.status.name}", _rollout(known.status)])
    rows.append(["logs", str(home.fleets / known.name)])
    print_table(f"Fleet {known.name}", ["", ""], rows)


def _row(known: KnownFleet, observed: ObservedState) -> list[str]:
    route, last = observed.route, known.status
    rollout = f"{last.name} {_rollout(last)}" if last else "-"
    gateway = observed.problem or _gateway(observed)
    return [known.name, gateway, route.stable or "-", _canary(route), rollout]


def _gateway(observed: ObservedState) -> str:
    return f"http://127.0.0.1:{observed.port}" if observed.port else "down"


def _canary(route: Route) -> str:
    return f"{route.canary} at {route.canary_weight} %" if route.canary else "-"


def _rollout(status: RolloutStatus) -> str:
    return f"{status.phase}: {status.reason}"
