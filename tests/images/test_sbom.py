"""The software bill of materials of a runtime: the same for the same runtime, and read by a real scanner."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.pins import load_pins
from images.runtime import Distribution, Runtime
from images.sbom import sbom_of
from images.trivy_command import scan_environment
from images.trivy_finder import find_trivy
from registry.digest import canonical_json
from tests.simulators.records import digest
from tests.simulators.trivy_db import Planted, write_database

_TORCH = Distribution("torch", "2.13.0+cu130", digest("torch"))
_ACME = Distribution("Acme_Lib", "1!2.0", digest("acme"))


@given(st.permutations([_TORCH, _ACME, Distribution("zipp", "3", digest("z"))]))
def test_the_same_runtime_gives_the_same_document(found: list[Distribution]) -> None:
    """Byte for byte, so it is signed and stored once."""
    again = Runtime.from_json(Runtime(tuple(reversed(found))).to_json())
    assert canonical_json(sbom_of(Runtime(tuple(found)))) == canonical_json(sbom_of(again))


def test_every_distribution_is_a_library_with_a_purl() -> None:
    """Named as the package index names it, its version quoted as the purl specification asks."""
    document = sbom_of(Runtime((_TORCH, _ACME)))
    purls = [component["purl"] for component in document["components"]]
    assert purls == ["pkg:pypi/acme-lib@1%212.0", "pkg:pypi/torch@2.13.0%2Bcu130"]
    assert [component["version"] for component in document["components"]] == ["1!2.0", "2.13.0+cu130"]
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")


def test_the_document_says_which_runtime_it_is_of() -> None:
    """By the digest that releases are made of."""
    runtime = Runtime((_TORCH, _ACME))
    assert sbom_of(runtime)["metadata"]["component"]["version"] == str(runtime.digest)
    changed = Runtime((_TORCH, Distribution("acme-lib", "1!2.0", digest("patched in place"))))
    assert sbom_of(changed) != sbom_of(runtime)


def test_the_real_trivy_finds_a_vulnerability_in_it(tmp_path: Path) -> None:
    """So others can scan a runtime again without its files."""
    choice = find_trivy(os.environ, load_pins(), lambda _: None)
    if choice.trivy is None:
        pytest.skip("; ".join(choice.notes))
    write_database(
        tmp_path / "cache", [Planted("CVE-2099-0001", "acme-lib")], datetime(2026, 11, 20, tzinfo=UTC)
    )
    (tmp_path / "sbom.json").write_bytes(canonical_json(sbom_of(Runtime((_TORCH, _ACME)))))
    offline = ["--skip-db-update", "--offline-scan", "--skip-version-check", "--disable-telemetry"]
    command = [choice.trivy.path, "sbom", "--format", "json", "--quiet", *offline]
    done = subprocess.run(
        [*command, "--cache-dir", tmp_path / "cache", tmp_path / "sbom.json"],
        env=scan_environment(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["Results"]
    found = [(v["VulnerabilityID"], v["PkgIdentifier"]["PURL"]) for v in result["Vulnerabilities"]]
    assert found == [("CVE-2099-0001", "pkg:pypi/acme-lib@1%212.0")]
