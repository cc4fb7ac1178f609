"""``headgate quantize --check``: whether a version's weights can be made again."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import prefect_server
from cli.display import Display, print_json, say
from cli.releases import Json
from registry.errors import GateFailed, Inconclusive


def quantize(
    check: Annotated[str, typer.Option("--check", metavar="NAME/NUMBER", help="The version to make again.")],
    as_json: Json = False,
) -> None:
    """Quantize a version's source again by its recipe, and compare the weights byte for byte.

    Ends with 0 when they are the same, 10 when they are not, 13 when they are not and were made on another
    device or by other packages, which may be why. Nothing is published.
    """
    prefect_server.connect()
    from flows.reproduce import reproduce as flow

    with Display(bars=not as_json):
        made = flow(check)
    if made["identical"]:
        if as_json:
            print_json({"version": check, **made, "ok": True})
        say(f"{check} was made again, bit for bit the same.")
        return
    error = Inconclusive if made["circumstances"] else GateFailed
    raise error(
        f"{check} was made again, and came out different",
        why="; ".join([*made["differences"], *made["circumstances"]]),
        next_step="make it again on the device and with the packages of the first time"
        if made["circumstances"]
        else "find out what changed the engine or the machine: the same inputs have to give the same bytes",
    )
