"""Trivy's command lines, as values, and what its exit codes mean. Runs nothing and reads nothing.

A scan never touches the network: the database is updated by a command of its own, so a failed update
leaves a scan with the old database, whose age the policy judges. Trivy takes settings from the folder
it runs in and from the environment (an ignore file or TRIVY_SEVERITY hides findings without a trace), so
both are shut out: only these words decide what a scan sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from images.scan_report import ScanReport, ScanUnavailable, parse_report

FINDINGS = 7
"""Trivy's exit code when it found something: not 0 (nothing found) and not 1 (the scan itself failed)."""

_NO_NEWS = ("--skip-version-check", "--disable-telemetry")
# Weights hold no packages, and reading them would take longer than everything else.
_WEIGHTS = ("**/*.safetensors", "**/*.gguf")


def scan_argv(
    trivy: Path, environment: Path, *, cache: Path, report: Path, timeout_s: int = 300
) -> list[str]:
    """Words that list an installed environment's packages and vulnerabilities as JSON in ``report``.

    ``rootfs``, not ``filesystem``: the latter looks for lock files and misses what is installed.
    Run them with ``scan_environment``; exit codes are read by ``read_scan``.
    """
    return [
        *_start(trivy, cache, timeout_s),
        *("--ignorefile", "", "--scanners", "vuln", "--list-all-pkgs"),
        *("--skip-db-update", "--skip-java-db-update", "--offline-scan"),
        *(word for pattern in _WEIGHTS for word in ("--skip-files", pattern)),
        *("--format", "json", "--output", str(report), "--exit-code", str(FINDINGS), str(environment)),
    ]


def update_argv(trivy: Path, *, cache: Path, timeout_s: int = 120) -> list[str]:
    """Words that fetch the vulnerability database when the one in ``cache`` is missing or due."""
    return [*_start(trivy, cache, timeout_s), "--download-db-only", "--no-progress"]


def version_argv(trivy: Path) -> list[str]:
    """Words that print the version, read by ``parse_version``."""
    return [str(trivy), "--version"]


def parse_version(output: str) -> str | None:
    """The version in the output of ``version_argv``, or None."""
    lines = (line.partition("Version:") for line in output.splitlines() if line.startswith("Version:"))
    return next((version.strip() for _, _, version in lines), None)


def scan_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without Trivy's settings; use it for scans (updates may keep a mirror's settings)."""
    return {name: value for name, value in env.items() if not name.startswith("TRIVY_")}


def cache_folder(env: Mapping[str, str], home_cache: Path) -> Path:
    """Where the database lies: HEADGATE_TRIVY_CACHE, for one the user keeps, or our own cache."""
    chosen = env.get("HEADGATE_TRIVY_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else home_cache / "trivy"


def database_file(cache: Path) -> Path:
    """The file in a cache folder that says how old its database is."""
    return cache / "db" / "metadata.json"


def read_scan(
    exit_code: int, report: str | None, database: str | None, tail: str = ""
) -> ScanReport | ScanUnavailable:
    """What a finished scan says, from its exit code, report, ``database_file`` and last output lines.

    Anything but an exit code and a report that agree is a scan that did not happen.
    """
    if exit_code not in {0, FINDINGS}:
        missing = "" if database else "there is no vulnerability database; "
        return ScanUnavailable(f"Trivy ended with exit code {exit_code}: {missing}{_last_words(tail)}")
    if report is None or database is None:
        absent = "report" if report is None else "record of its database's age"
        return ScanUnavailable(f"Trivy ended with exit code {exit_code} and left no {absent}")
    try:
        scan = parse_report(report, database)
    except ValueError as problem:
        return ScanUnavailable(f"Trivy's report cannot be read: {problem}")
    if bool(scan.vulnerabilities) != (exit_code == FINDINGS):
        listed = len(scan.vulnerabilities)
        return ScanUnavailable(
            f"Trivy ended with exit code {exit_code}, but its report lists {listed} findings"
        )
    return scan


def _start(trivy: Path, cache: Path, timeout_s: int) -> list[str]:
    start = [str(trivy), "rootfs", "--config", "", "--cache-dir", str(cache)]
    return [*start, "--timeout", f"{timeout_s}s", *_NO_NEWS]


def _last_words(tail: str) -> str:
    # Trivy's lines begin with a time and a level, split by tabs: the same failure shall read the same.
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1].rpartition("\t")[2] if lines else "it printed nothing"
