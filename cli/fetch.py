"""``headgate fetch``: a release's model on this machine, ahead of the release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import prefect_server
from cli.display import Display, print_json, print_table
from cli.releases import Json


def fetch(
    spec: Annotated[Path, typer.Argument(help="A release's spec file; its model is fetched.")],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Judge all but the weights; say what would be transferred."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Download and verify the model of a spec file; a release of it then finds it on this machine."""
    from flows.spec import load_spec

    loaded = load_spec(spec)
    prefect_server.connect()
    from flows.fetch import fetch as flow

    with Display(bars=not as_json):
        result = flow(loaded, dry_run)
    if as_json:
        print_json({**result, "ok": True})
    else:
        print_table("Plan" if dry_run else "Fetched", ["", ""], _rows(result))


def _rows(result: dict[str, Any]) -> list[list[str]]:
    from tasks.disk import in_words, sizes_in_words

    rows = [["model", result["uri"]], ["commit", result["commit"]]]
    rows += [[path, in_words(size)] for path, size in result["files"].items()]
    rows += [
        [name.replace("_", " "), in_words(result[name])]
        for name in ("bytes", "on_this_machine", "to_transfer", "free")
        if name in result
    ]
    if result.get("not_checked"):
        rows.append(["not checked", result["not_checked"]])
    if "fetched" in result:
        rows += [
            ["licence", result["licence"] or "none is named"],
            ["from", sizes_in_words(result["fetched"])],
        ]
    return rows
