"""Trivy's words and answers, with the real Trivy where it is installed: offline, on a planted database."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.pins import load_pins
from images.runtime import Distribution, Runtime
from images.scan_policy import ScanPolicy, judge
from images.scan_report import Package, ScanReport, ScanUnavailable
from images.trivy_command import (
    FINDINGS,
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
from tests.simulators.records import digest
from tests.simulators.trivy_db import Planted, write_database

_MADE = datetime(2026, 11, 20, tzinfo=UTC)
_DATABASE = json.dumps({"UpdatedAt": "2026-11-20T00:00:00.123456789Z"})
_PACKAGES = [{"Name": "acmelib", "Version": "1.0"}]
_FOUND = {"VulnerabilityID": "CVE-1", "PkgName": "acmelib", "InstalledVersion": "1.0", "Severity": "HIGH"}

Scan = Callable[..., ScanReport | ScanUnavailable]


@pytest.fixture(scope="module")
def trivy() -> Path:
    """The Trivy that Headgate would run."""
    choice = find_trivy(os.environ, load_pins(), lambda _: None)
    if choice.trivy is None:
        pytest.skip("; ".join(choice.notes))
    return choice.trivy.path


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An installed environment with two distributions, and weights that nobody should read."""
    packages = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    for name, version in (("acmelib", "1.0"), ("other_lib", "2.5")):
        (packages / f"{name}-{version}.dist-info").mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (packages / f"{name}-{version}.dist-info" / "METADATA").write_text(metadata)
    (packages / "model.safetensors").write_bytes(b"w")
    return tmp_path / "env"


@pytest.fixture
def scan(trivy: Path, environment: Path, tmp_path: Path) -> Scan:
    """Run a scan as the task does, and read its answer."""

    def run(*planted: Planted, database: bool = True, env: Mapping[str, str] = os.environ):
        cache, report = tmp_path / "cache", tmp_path / "report.json"
        if database:
            write_database(cache, list(planted), _MADE)
        argv = scan_argv(trivy, environment, cache=cache, report=report)
        done = subprocess.run(
            argv, env=scan_environment(env), cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return read_scan(done.returncode, _text(report), _text(database_file(cache)), done.stderr)

    return run


def _text(path: Path) -> str | None:
    return path.read_text() if path.is_file() else None


def _report(**changes: object) -> str:
    result = {"Packages": _PACKAGES, "Vulnerabilities": [_FOUND]}
    return json.dumps({"SchemaVersion": 2, "Trivy": {"Version": "1"}, "Results": [result], **changes})


def test_the_real_trivy_finds_a_planted_vulnerability(scan: Scan) -> None:
    """Offline, with its packages, both versions and the severity; and the policy fails it."""
    report = scan(Planted("CVE-2099-0001", "acmelib", fixed="2.0.0"), Planted("CVE-2099-0002", "absent"))
    assert isinstance(report, ScanReport)
    assert [str(v) for v in report.vulnerabilities] == [
        "CVE-2099-0001 (CRITICAL) in acmelib 1.0, fixed in 2.0.0"
    ]
    assert report.packages == (Package("acmelib", "1.0"), Package("other_lib", "2.5"))
    assert report.database_updated_at == _MADE
    runtime = Runtime(tuple(Distribution(p.name, p.version, digest("")) for p in report.packages))
    assert judge(report, ScanPolicy(), date(2026, 11, 21), runtime=runtime).outcome == "fail"


def test_the_real_trivy_finds_nothing_where_nothing_is_known(scan: Scan) -> None:
    """A fixed version is clean, and its packages are listed all the same."""
    report = scan(Planted("CVE-2099-0001", "acmelib", fixed="1.0"))
    assert isinstance(report, ScanReport)
    assert report.vulnerabilities == ()
    assert len(report.packages) == 2


def test_settings_lying_around_hide_nothing(scan: Scan, tmp_path: Path) -> None:
    """Ignore files, a configuration in the working folder and variables would each silence the finding."""
    (tmp_path / ".trivyignore").write_text("CVE-2099-0001\n")
    (tmp_path / "trivy.yaml").write_text("severity: [LOW]\nvulnerability:\n  ignore-unfixed: true\n")
    env = {**os.environ, "TRIVY_SEVERITY": "LOW", "TRIVY_IGNORE_UNFIXED": "true", "TRIVY_SKIP_DIRS": "**"}
    report = scan(Planted("CVE-2099-0001", "acmelib"), env=env)
    assert isinstance(report, ScanReport)
    assert [v.id for v in report.vulnerabilities] == ["CVE-2099-0001"]


def test_the_real_trivy_without_a_database_is_a_scan_that_did_not_happen(scan: Scan) -> None:
    """The reason names the database."""
    report = scan(database=False)
    assert isinstance(report, ScanUnavailable)
    assert "there is no vulnerability database" in report.reason


def test_the_real_trivy_with_a_damaged_database_is_a_scan_that_did_not_happen(
    scan: Scan, tmp_path: Path
) -> None:
    """A download that broke off is not an empty database."""
    scan()
    file = tmp_path / "cache" / "db" / "trivy.db"
    file.write_bytes(file.read_bytes()[:3000])
    report = scan(database=False)
    assert isinstance(report, ScanUnavailable)
    assert "exit code 1" in report.reason


def test_the_real_trivy_knows_the_words_of_the_other_commands(trivy: Path, tmp_path: Path) -> None:
    """Version and update, the latter against a mirror that is not there."""
    version = subprocess.run(version_argv(trivy), capture_output=True, text=True, check=True)
    assert parse_version(version.stdout) in load_pins().trivy_versions
    env = {**scan_environment(os.environ), "TRIVY_DB_REPOSITORY": "127.0.0.1:9/db:2"}
    update = update_argv(trivy, cache=tmp_path / "cache", timeout_s=10)
    done = subprocess.run(update, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown flag" not in done.stderr
    assert "127.0.0.1:9" in done.stderr


def test_a_scan_never_asks_the_network() -> None:
    """Every way Trivy has of doing so is shut."""
    argv = scan_argv(Path("/t"), Path("/env"), cache=Path("/c"), report=Path("/r"))
    assert argv[:2] == ["/t", "rootfs"]
    assert argv[-1] == "/env"
    closed = {"--skip-db-update", "--skip-java-db-update", "--offline-scan", "--skip-version-check"}
    assert closed | {"--disable-telemetry"} <= set(argv)
    assert argv[argv.index("--exit-code") + 1] == str(FINDINGS) == "7"


@pytest.mark.parametrize(
    ("exit_code", "report", "database", "reason"),
    [
        (1, None, None, "no vulnerability database; it broke"),
        (1, _report(), _DATABASE, "exit code 1: it broke"),
        (137, None, _DATABASE, "exit code 137"),
        (0, None, _DATABASE, "left no report"),
        (7, _report(), None, "left no record of its database's age"),
        (0, _report(), _DATABASE, "lists 1 findings"),
        (7, _report(Results=[]), _DATABASE, "lists 0 findings"),
        (7, _report(SchemaVersion=3), _DATABASE, "schema is 3"),
        (7, _report()[:50], _DATABASE, "cannot be read"),
        (7, _report(), '{"UpdatedAt": "2026-11-20"}', "no time zone"),
        (7, _report(), "{}", "UpdatedAt"),
        (7, _report(Results=[{"Vulnerabilities": [{**_FOUND, "Severity": "BAD"}]}]), _DATABASE, "BAD"),
    ],
)
def test_anything_that_does_not_agree_is_a_scan_that_did_not_happen(
    exit_code: int, report: str | None, database: str | None, reason: str
) -> None:
    """With the reason, and never as a clean report."""
    answer = read_scan(exit_code, report, database, "T1\tINFO\tstart\nT2\tFATAL\tError\tit broke\n\n")
    assert isinstance(answer, ScanUnavailable)
    assert reason in answer.reason


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5), st.integers(0, 8)
)
def test_no_report_makes_reading_it_crash(results: object, exit_code: int) -> None:
    """A newer Trivy may write something else."""
    read_scan(exit_code, _report(Results=results), _DATABASE)
    read_scan(exit_code, json.dumps(results), _DATABASE)


def test_what_changes_from_run_to_run_is_not_in_the_report() -> None:
    """The same findings are the same evidence."""
    first = read_scan(7, _report(ReportID="1", CreatedAt="2026"), _DATABASE)
    second = read_scan(7, _report(ReportID="2", CreatedAt="2027"), _DATABASE)
    assert isinstance(first, ScanReport)
    assert first == second
    assert json.loads(json.dumps(first.to_json()))["packages"] == 1


def test_the_database_may_be_one_the_user_keeps() -> None:
    """Otherwise it lies in our cache."""
    assert cache_folder({}, Path("/home/cache")) == Path("/home/cache/trivy")
    assert cache_folder({"HEADGATE_TRIVY_CACHE": "/mine"}, Path("/home/cache")) == Path("/mine")


@pytest.mark.parametrize(
    ("output", "version"), [("Version: 0.76.0\n", "0.76.0"), ("", None), ("trivy v1", None)]
)
def test_the_version_is_read_or_unknown(output: str, version: str | None) -> None:
    """An unknown version is not an allowed one."""
    assert parse_version(output) == version
