"""``headgate suites``: which suites there are, and what one can tell and costs before any model is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.display import print_json, print_table, say
from cli.releases import Json
from eval_suites.suite_spec import Profile

if TYPE_CHECKING:
    from eval_suites.plan import Plan
    from eval_suites.suite import EvalTask, Suite

app = typer.Typer(help="Which suites come with Headgate, and what one can tell and costs.")

_USUAL_FLIPS = 0.05  # of 4-bit weights
_FEW_CLUSTERS = 50  # rules of thumb are 20 to 50 (Cameron and Miller, J. Human Resources 50 (2015) 317-372)
_CLUSTERS_IN_MARGIN = 4  # of the largest size; the judge allows for some that it has not seen


@app.callback(invoke_without_command=True)
def suites(context: typer.Context, as_json: Json = False) -> None:
    """List the suites that come with Headgate; ``check`` says what a suite can tell and costs."""
    if context.invoked_subcommand:
        return
    from eval_suites.suite import shipped_suites

    listed = [_listed(name) for name in shipped_suites()]
    if as_json:
        print_json({"suites": listed, "ok": True})
        return
    rows = [[s["name"], ", ".join(s["tasks"]), _items(s["tasks"]), s["description"]] for s in listed]
    print_table("Suites", ["name", "tasks", "items", "description"], rows)


def _listed(name: str) -> dict[str, Any]:
    """A suite with the items of each task; those of lm-eval's tasks are known when they have been fetched."""
    from eval_suites.suite import find_suite, read_suite, suite_path

    spec = read_suite(suite_path(name))
    held = {} if spec.named else {task.name: task.items for task in find_suite(name).tasks}
    tasks = {task.name: held.get(task.name) for task in spec.tasks}
    return {"name": name, "description": spec.description, "tasks": tasks}


def _items(tasks: dict[str, int | None]) -> str:
    known = [count for count in tasks.values() if count is not None]
    return str(sum(known)) if known else "to fetch"


@app.command()
def check(
    suite: Annotated[str, typer.Argument(help="The name of a shipped suite, or the path of a suite file.")],
    profile: Annotated[
        Profile, typer.Option(help="Take it as evaluate.profile in a spec would.")
    ] = Profile.STANDARD,
    allow_code: Annotated[
        list[str] | None,
        typer.Option(help="Allow the suite with this digest to run code; the refusal names it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a suite file and its datasets, and estimate what it can tell and what it costs.

    A flip is an item that scores otherwise, better or worse. Datasets of lm-eval's tasks are fetched. Ends
    with 2 when something is wrong.
    """
    told = _told(_opened(suite, allow_code or ()).under(profile))
    if as_json:
        print_json({**told, "ok": True})
    else:
        _show(told)


def _told(suite: Suite) -> dict[str, Any]:
    from eval_suites.plan import plan_of
    from eval_suites.power import FLIPS, passes_all, power_of

    plan = plan_of(suite, seed=0)
    powers = [power_of(suite, task, plan) for task in suite.tasks]
    tasks = [
        {
            "name": task.name,
            "items": plan.items(task.name),
            "clusters": _clusters(task, plan),
            "margin": task.spec.margin,
            "power": [asdict(power) for power in found],
            "cost": _cost(task, plan),
        }
        for task, found in zip(suite.tasks, powers, strict=True)
    ]
    return {
        "suite": suite.name,
        "digest": str(suite.digest),
        "alpha": suite.alpha,
        "wanted_power": suite.spec.power,
        "tasks": [{**task, "warnings": list(_warnings(task))} for task in tasks],
        "all_tasks": [
            {"flips": flips, "passes": passes}
            for flips, passes in zip(FLIPS, passes_all(powers), strict=True)
        ],
    }


def _clusters(task: EvalTask, plan: Plan) -> dict[str, int] | None:
    """How many clusters are asked, and the items of the largest; None where every item stands alone."""
    if not task.clusters:
        return None
    sizes = Counter(map(task.cluster_of, plan.asked(task.name, len(plan.looks))))
    return {"count": len(sizes), "largest": max(sizes.values())}


def _warnings(task: dict[str, Any]) -> Iterator[str]:
    """Why a task may tell less than it seems to."""
    name, items, clusters = task["name"], task["items"], task["clusters"]
    needed = next(p["needed"] for p in task["power"] if p["flips"] == _USUAL_FLIPS)
    if needed > items:
        yield (
            f"{name} has {items} items. Where {_percent(_USUAL_FLIPS)} of them flip, it"
            f" takes about {needed} to pass a candidate without loss: this may come out inconclusive."
        )
    if clusters and clusters["count"] < _FEW_CLUSTERS:
        yield (
            f"{name} has {clusters['count']} clusters. What so few of them show need not hold for others:"
            f" {_FEW_CLUSTERS} or more are better."
        )
    if clusters and task["margin"] * items < _CLUSTERS_IN_MARGIN * clusters["largest"]:
        yield (
            f"The margin of {name} is worth {task['margin'] * items:.3g} items, and its largest cluster has"
            f" {clusters['largest']}: a few clusters that fail as a whole are more than the margin, so expect"
            " an inconclusive verdict. More clusters help, or smaller ones."
        )


def _opened(name: str, allow_code: Collection[str]) -> Suite:
    from eval_suites.suite import find_suite, read_suite, suite_path

    if not read_suite(suite_path(name)).named:
        return find_suite(name)
    from tasks.named_tasks import open_suite
    from tasks.workplace import open_workplace

    with open_workplace() as place:
        return open_suite(place, name, allow_code)


def _cost(task: EvalTask, plan: Plan) -> dict[str, int] | None:
    """Of a task of lm-eval's what it said of some items, as only lm-eval knows what it asks of a row."""
    from eval_suites.cost import cost_of
    from eval_suites.dataset import read_rows
    from eval_suites.suite_spec import RowsTask

    if isinstance(task.spec, RowsTask):
        rows = read_rows(task.rows, task.name)
        return asdict(cost_of(task.spec, rows, plan.asked(task.name, len(plan.looks))))
    return asdict(task.cost.of(plan.items(task.name))) if task.cost else None


def _show(told: dict[str, Any]) -> None:
    say(f"{told['suite']} is well formed: {told['digest']}")
    wanted = f"{100 * told['wanted_power']:.4g} % power"
    columns = [
        "task",
        "items",
        "margin",
        "flips",
        "passes without loss",
        f"items for {wanted}",
        "rejects from",
    ]
    rows = [row for task in told["tasks"] for row in _power_rows(task)]
    print_table("What it can tell", columns, [*rows, *(_whole_rows(told) if len(told["tasks"]) > 1 else [])])
    columns = ["task", "requests", "prompt tokens, about", "generated tokens, at most"]
    costs = {task["name"]: task["cost"] for task in told["tasks"] if task["cost"]}
    rows = [[name, *(f"{count:,}" for count in cost.values())] for name, cost in costs.items()]
    if rows:
        print_table("What it costs to ask a model all of it", columns, rows)
    for task in told["tasks"]:
        for warning in task["warnings"]:
            say(warning)


def _power_rows(task: dict[str, Any]) -> list[list[str]]:
    return [
        [
            task["name"],
            str(task["items"]),
            _percent(task["margin"]),
            _percent(power["flips"]),
            f"{100 * power['passes']:.0f} %",
            str(power["needed"]),
            f"a loss of {100 * power['finds']:.1f} %" if power["finds"] < 1 else "no loss",
        ]
        for power in task["power"]
    ]


def _whole_rows(told: dict[str, Any]) -> list[list[str]]:
    """A candidate has to pass every task; how likely that is as if they were independent."""
    items = str(sum(task["items"] for task in told["tasks"]))
    return [
        ["all tasks", items, "", _percent(power["flips"]), f"{100 * power['passes']:.0f} %", "", ""]
        for power in told["all_tasks"]
    ]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"
