"""``headgate release``, ``headgate regate`` and ``headgate promote``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import prefect_server
from cli.display import Display, print_json, print_table, say
from registry.errors import UsageError
from registry.version import asked_reference
from tasks.disk import sizes_in_words

Json = Annotated[bool, typer.Option("--json", help="One compact JSON object as the last line of output.")]


def release(
    spec: Annotated[Path, typer.Argument(help="The spec file; examples/quickstart.yaml explains every key.")],
    as_json: Json = False,
) -> None:
    """Take a model from a hub to a version with evidence, and to the fleet when the spec says so."""
    from flows.spec import load_spec

    loaded = load_spec(spec)
    prefect_server.connect()
    from flows.release import release as flow

    with Display(bars=not as_json):
        result = flow(loaded)
    show_release(result, as_json=as_json)


def regate(
    version: Annotated[str, typer.Argument(help="NAME/NUMBER, as `headgate versions` lists it.")],
    suite: Annotated[
        str | None,
        typer.Option(help="A suite's name, or the path of its file; else the one that judged it last."),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(help="Judge by this spec's evaluate, load and scan sections; else as evidence says."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge a version's weights again on the runtime of this Headgate, after an upgrade of it.

    What passes is published as a new version of the same weights. What was judged on this runtime already is
    left as it is.
    """
    from flows.spec import load_spec

    loaded = load_spec(spec) if spec else None
    if loaded and loaded.registry.name != asked_reference(version)[0]:
        raise UsageError(
            f"the spec {spec} releases {loaded.registry.name}, and {version} is to be judged by it",
            next_step="give the spec that the version was released by",
        )
    prefect_server.connect()
    from flows.regate import regate as flow

    with Display(bars=not as_json):
        result = flow(version, suite, loaded.gates if loaded else None)
    if "note" in result and not as_json:
        say(f"{result['version']}: {result['note']}.")
        return
    show_release(result, as_json=as_json)


def promote(
    version: Annotated[str, typer.Argument(help="NAME/NUMBER, as `headgate versions` lists it.")],
    spec: Annotated[
        Path | None,
        typer.Option(help="Take the rollout section of this spec file; else go on as the fleet's last did."),
    ] = None,
    fleet: Annotated[
        str | None, typer.Option(help="The fleet that takes it; else the one that serves the model now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Roll a published version out to the fleet, judged step by step; an older version rolls back.

    The version that is stable gives up a rollout that is not over.
    """
    from flows.spec import load_spec

    rollout = load_spec(spec).rollout if spec else None
    prefect_server.connect()
    from flows.promote import promote as flow

    with Display(bars=not as_json):
        result = flow(version, rollout, fleet)
    if as_json:
        print_json({"version": version, "rollout": result, "ok": True})
    else:
        print_table(f"Rollout of {version}", ["", ""], _rows(result))


def show_release(result: dict[str, Any], *, as_json: bool) -> None:
    """Print what a release came to."""
    if as_json:
        print_json({**result, "ok": True})
        return
    rows = [["version", result["version"]]]
    rows += [[judge, outcome] for judge, outcome in result["verdicts"].items()]
    rows.append(["scan policy", result["scan"]])
    rows.append(["fetched", sizes_in_words(result["fetched"])])
    rows += [[f"rejected: {_recipe(r['recipe'])}", r["why"]] for r in result.get("rejected", ())]
    rows += [[f"{name} digest", digest] for name, digest in result["digests"].items()]
    rows += [[f"rollout {name}", value] for name, value in _rows(result.get("rollout", {}))]
    rows.append(["report", result["report"]])
    rows.append(["page", result["page"]])
    print_table("Release", ["", ""], rows)


def _recipe(values: dict[str, Any]) -> str:
    told = {name: value for name, value in values.items() if value and name != "calibration"}
    return ", ".join(f"{name} {_text(value)}" for name, value in told.items())


def _rows(values: dict[str, Any]) -> list[list[str]]:
    return [[name, _text(value)] for name, value in values.items() if value is not None]


def _text(value: Any) -> str:
    return " -> ".join(str(item) for item in value) if isinstance(value, list) else str(value)
