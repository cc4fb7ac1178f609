"""The collect-garbage flow: free what no alias, fleet, pin or run needs; on a schedule, or by hand."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.ending import told
from registry.errors import HeadgateError, UsageError
from registry.garbage import Retention
from registry.policy_file import parse_duration
from tasks.collect_garbage import collect_garbage as collect
from tasks.workplace import open_workplace


@flow(name="collect-garbage")
def collect_garbage(
    apply: bool = False,
    grace: str = "24h",
    rollbacks: int = 3,
    rollback_window: str = "30d",
    logs: str = "90d",
    weights_window: str = "",
) -> dict[str, Any]:
    """Say what could go from this machine's disk and how many bytes that frees; with apply, remove it.

    Args:
        apply: Remove it. Without, nothing changes.
        grace: What was used within this time stays in any case (90d, 12h).
        rollbacks: How many versions that were in production before stay ready, per model and GPU class.
        rollback_window: Every version that was in production within this time stays as well.
        logs: The folders of runs, and texts of evaluations, stay this long.
        weights_window: Sets in the weights store that versions name, and nothing live needs, stay this long;
            empty keeps them for ever.
    """
    try:
        retention = Retention(
            rollbacks=rollbacks,
            rollback_seconds=_seconds("rollback_window", rollback_window),
            grace_seconds=_seconds("grace", grace),
            log_seconds=_seconds("logs", logs),
            weights_seconds=_seconds("weights_window", weights_window) if weights_window else None,
        )
        with open_workplace() as place:
            return collect(place, retention, apply=apply)
    except HeadgateError as error:
        return told(error)


def _seconds(name: str, text: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as problem:
        next_step = "`headgate gc --help` lists every option"
        raise UsageError(f"{name} {problem}", next_step=next_step) from problem
