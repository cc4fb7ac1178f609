"""Scan: look for known vulnerabilities in what the weights run on, and say whether policy lets it ship."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from images.pins import load_pins
from images.runtime import Runtime
from images.scan_policy import Acceptance, ScanPolicy, Waiver, accept, judge
from images.scan_report import ScanReport, ScanUnavailable
from images.trivy_command import (
    cache_folder,
    database_file,
    parse_version,
    read_scan,
    scan_argv,
    scan_environment,
    update_argv,
    version_argv,
)
from images.trivy_finder import find_trivy
from judging.verdict import Verdict
from registry.errors import HeadgateError
from registry.plain_text import counted
from tasks.process import ProcessFailed, run_process
from tasks.progress import report
from tasks.workplace import Workplace

_TIMEOUT = 600.0  # seconds


@dataclass(frozen=True)
class Scanned:
    """The verdict, whether it lets the release go on, and the facts to record."""

    verdict: Verdict
    acceptance: Acceptance
    facts: Mapping[str, Any]


@task(cache_policy=NO_CACHE)
def scan(
    place: Workplace, environment: Path, runtime: Runtime, policy: ScanPolicy, waiver: Waiver | None
) -> Scanned:
    """The scan of an engine environment; no answer is the verdict error, and only a waiver goes on."""
    today = datetime.now(UTC).date()
    with place.stage("scan", counted(len(runtime.distributions), "package")):
        found, version = _scan(place, environment)
        verdict = judge(found, policy, today, runtime=runtime)
        acceptance = accept(verdict, waiver, today)
    facts: dict[str, Any] = {"trivy": version, "accepted": acceptance.accepted, "why": acceptance.message}
    if isinstance(found, ScanReport):
        facts["report"] = found.to_json()
    if acceptance.accepted and not verdict.passed and waiver:
        facts["waiver"] = {"owner": waiver.owner, "reason": waiver.reason, "until": waiver.until.isoformat()}
    return Scanned(verdict, acceptance, facts)


def _scan(place: Workplace, environment: Path) -> tuple[ScanReport | ScanUnavailable, str | None]:
    choice = find_trivy(os.environ, load_pins(), _ask_version)
    if choice.trivy is None:
        return ScanUnavailable("; ".join(choice.notes)), None
    trivy, cache = choice.trivy.path, cache_folder(os.environ, place.home.cache)
    log_file = place.run.log_file("scan")
    _update(trivy, cache, log_file)
    report("scan", "looking for known vulnerabilities")
    output = place.run.directory / "trivy.json"
    argv = scan_argv(trivy, environment, cache=cache, report=output)
    code, tail = _run(argv, log_file, scan_environment(os.environ))
    return read_scan(code, _read(output), _read(database_file(cache)), tail), choice.trivy.version


def _update(trivy: Path, cache: Path, log_file: Path) -> None:
    """Fetch the database if it is due; a failure leaves the old one, whose age the policy judges."""
    report("scan", "updating the vulnerability database")
    _run(update_argv(trivy, cache=cache), log_file, dict(os.environ))


def _run(argv: list[str], log_file: Path, env: dict[str, str]) -> tuple[int, str]:
    lines: list[str] = []
    try:
        run_process(argv, log=lines.append, log_file=log_file, timeout=_TIMEOUT, env=env)
    except ProcessFailed as error:
        return (1 if error.returncode is None else error.returncode), "\n".join(lines)
    except HeadgateError as error:
        return 1, str(error)
    return 0, "\n".join(lines)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _ask_version(trivy: Path) -> str | None:
    lines: list[str] = []
    try:
        run_process(version_argv(trivy), log=lines.append, timeout=30.0)
    except HeadgateError:
        return None
    return parse_version("\n".join(lines))
