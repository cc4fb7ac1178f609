"""The product itself: ``headgate quickstart`` with real engines, hub client, vLLM, Trivy and Envoy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.local_fleet import LocalFleet
from registry.alias_log import get_aliases
from registry.digest import Digest
from registry.dir_store import DirStore
from registry.evidence import list_evidence
from registry.home import Home
from registry.key_ring import load_trust
from registry.publish import get_version

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty home, its fleet taken down afterwards."""
    made = Home(tmp_path / "a home")
    yield made
    LocalFleet(made, "quickstart").down()


def headgate(home: Home, *arguments: str) -> tuple[dict[str, Any], float]:
    """The JSON of a command that has to succeed, and how long it took."""
    started = time.monotonic()
    command = [sys.executable, "-c", "from cli.main import run; run()", *arguments, "--json"]
    env = {**os.environ, "HEADGATE_HOME": str(home.root), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(  # noqa: PLW1510 - the code is looked at below
        command, env=env, cwd=home.root.parent, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1]), time.monotonic() - started


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(1700)
def test_the_quickstart_goes_the_whole_way_and_again_is_free(home: Home) -> None:
    """v1 stable, v2 promoted by its canary, v3 rejected; a second run makes nothing anew."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    first, spent = headgate(home, "quickstart", "--port", port)
    assert first["versions"] == ["tiny-facts/1", "tiny-facts/2"]
    assert [r["name"] for r in first["rejected"]] == ["v3"]
    assert "Failed" in Path(first["rejected"][0]["page"]).read_text()
    assert first["rollout"]["phase"] == "succeeded"
    assert first["rollout"]["weights"] == [5, 25, 50, 100]
    store, trust = DirStore(home.store), load_trust(home)
    aliases = get_aliases(store, trust, "tiny-facts", "cpu")
    assert (aliases.production, aliases.previous) == (2, 1)
    version = get_version(store, "tiny-facts/2")
    evidence = list_evidence(store, version.release_digest, trust)
    verdicts = {e.kind: str(e.verdict.outcome) for e in evidence if e.verdict and e.signer}
    assert {verdicts[kind] for kind in ("sanity", "fidelity", "quality", "rollout")} == {"pass"}
    assert verdicts["scan"] in {"pass", "error"}
    _every_blob_is_what_its_name_says(home)
    assert _completion(first["gateway"], version.name)
    second, seconds = headgate(home, "quickstart", "--port", port)
    assert (second["versions"], second["ok"]) == (first["versions"], True)
    assert max(second["stages"]["v1.quantize"], second["stages"]["train"]) < 1  # looked up, not made
    assert seconds < spent / 4  # a twentieth where nothing else runs; it is told from doing the work again
    headgate(home, "down", "--fleet", "quickstart")


def _every_blob_is_what_its_name_says(home: Home) -> None:
    blobs = list((home.blobs / "sha256").iterdir())
    assert blobs
    assert all(Digest.of_file(blob).hex == blob.name for blob in blobs)


def _completion(gateway: str, model: str) -> str:
    body = json.dumps({"model": model, "prompt": "The capital of", "max_tokens": 4}).encode()
    request = urllib.request.Request(f"{gateway}/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        text: str = json.load(reply)["choices"][0]["text"]
    return text
