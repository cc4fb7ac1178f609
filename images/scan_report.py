"""What a scan saw: packages, vulnerabilities, and the age of the database, read from Trivy's JSON. Pure.

Only what a judge needs is kept. Times and ids that Trivy makes up for each run are dropped, so the same
finding twice is the same report. Whether it may ship is left to the policy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from registry.data_errors import worded

_SCHEMA = 2


class Severity(StrEnum):
    """Trivy's scale, least first; UNKNOWN means that no source has rated it yet."""

    UNKNOWN = "UNKNOWN"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, order=True)
class Package:
    """An installed package, by the name its metadata has."""

    name: str
    version: str


@dataclass(frozen=True, order=True)
class Vulnerability:
    """A known vulnerability of an installed package; ``fixed`` is empty while no release mends it."""

    id: str
    package: str
    installed: str
    fixed: str
    severity: Severity
    title: str

    def __str__(self) -> str:
        mended = f"fixed in {self.fixed}" if self.fixed else "no fix yet"
        return f"{self.id} ({self.severity}) in {self.package} {self.installed}, {mended}"


@dataclass(frozen=True)
class ScanReport:
    """A scan that happened."""

    scanner: str
    database_updated_at: datetime
    packages: tuple[Package, ...]
    vulnerabilities: tuple[Vulnerability, ...]

    def to_json(self) -> dict[str, Any]:
        """Facts for an evidence record: plain values, no times of this run."""
        return {
            "scanner": self.scanner,
            "database_updated_at": self.database_updated_at.isoformat(),
            "packages": len(self.packages),
            "vulnerabilities": [asdict(vulnerability) for vulnerability in self.vulnerabilities],
        }


@dataclass(frozen=True)
class ScanUnavailable:
    """A scan that did not happen, and why: no scanner, no database, a crash, a report that makes no sense."""

    reason: str


def parse_report(report: str, database: str) -> ScanReport:
    """Read Trivy's JSON report and its database's ``metadata.json``; raises ValueError for anything else."""
    try:
        value = json.loads(report)
        if value["SchemaVersion"] != _SCHEMA:
            raise ValueError(f"its schema is {value['SchemaVersion']!r}, not {_SCHEMA}")
        results = value.get("Results") or []
        found = {_vulnerability(v) for result in results for v in result.get("Vulnerabilities") or []}
        packages = {Package(p["Name"], p["Version"]) for r in results for p in r.get("Packages") or []}
        scanner = f"trivy {value['Trivy']['Version']}"
        made = parse_database_time(database)
        return ScanReport(scanner, made, tuple(sorted(packages)), tuple(sorted(found)))
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"not a report as expected ({worded(problem)})") from problem


def parse_database_time(database: str) -> datetime:
    """When the database was made, with its time zone; raises ValueError, KeyError or TypeError."""
    made = datetime.fromisoformat(json.loads(database)["UpdatedAt"])
    if made.tzinfo is None:
        raise ValueError(f"the database's time has no time zone: {made}")
    return made


def _vulnerability(value: Mapping[str, Any]) -> Vulnerability:
    return Vulnerability(
        id=value["VulnerabilityID"],
        package=value["PkgName"],
        installed=value["InstalledVersion"],
        fixed=value.get("FixedVersion") or "",
        severity=Severity(value["Severity"]),
        title=value.get("Title") or "",
    )
