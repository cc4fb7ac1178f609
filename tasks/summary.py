"""Summaries for people: Markdown in the run's folder, and the same as artifacts in Prefect's UI."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact

from fleet.status import Move, RolloutStatus
from judging.verdict import Finding, Verdict
from registry.version import ModelVersion
from tasks.scan import Scanned
from tasks.workplace import Workplace


def write_report(place: Workplace, key: str, markdown: str) -> Path:
    """Keep Markdown as ``<key>.md`` in the run's folder and as the artifact ``key``; returns the file."""
    path = place.run.directory / f"{key}.md"
    text = markdown.encode(errors="backslashreplace").decode()  # a stranger's half of a character
    path.write_text(text, encoding="utf-8")
    create_markdown_artifact(text, key=key)
    return path


def summarize_release(
    place: Workplace, version: ModelVersion, gates: Mapping[str, Verdict], scanned: Scanned
) -> dict[str, Any]:
    """What a release came to, as plain values; also written as the release summary."""
    result: dict[str, Any] = {
        "version": version.reference,
        "verdicts": {
            **{gate: str(verdict.outcome) for gate, verdict in gates.items()},
            "scan": str(scanned.verdict.outcome),
        },
        "scan": scanned.acceptance.message,
        "digests": {
            "release": str(version.release_digest),
            "weights": str(version.weights_set),
            "runtime": str(version.runtime),
            "serve": str(version.serve.digest),
            "image": str(version.image),
        },
        "stages": {name: round(seconds, 2) for name, seconds in place.seconds.items()},
    }
    lines = [
        f"# Release {version.reference}",
        "",
        f"Source {version.source_uri} at `{version.source_commit}`.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {judge} | **{outcome}** |" for judge, outcome in result["verdicts"].items()),
        f"| scan policy | {scanned.acceptance.message} |",
        *(f"| {name} | `{digest}` |" for name, digest in result["digests"].items()),
        *(f"| {name}, seconds | {seconds} |" for name, seconds in result["stages"].items()),
        "",
    ]
    return {**result, "report": str(write_report(place, "release-summary", "\n".join(lines)))}


def publish_timeline(place: Workplace, version: ModelVersion, status: RolloutStatus) -> None:
    """The canary's timeline: every phase and weight, when, and why."""
    lines = [
        f"# Rollout of {version.reference}: {status.phase}",
        "",
        status.reason,
        "",
        "| time (UTC) | phase | canary % | why |",
        "|---|---|---|---|",
        *(_timeline_row(move) for move in status.history),
        "",
        *(f"- **{finding.outcome}** {finding.message}" for finding in _findings(status)),
        "",
    ]
    write_report(place, "canary-timeline", "\n".join(lines))


def _timeline_row(move: Move) -> str:
    when = datetime.fromtimestamp(move.at, UTC)
    return f"| {when:%H:%M:%S} | {move.phase} | {move.weight} | {move.reason} |"


def _findings(status: RolloutStatus) -> tuple[Finding, ...]:
    return status.verdict.findings if status.verdict else ()
