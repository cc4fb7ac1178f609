"""What Headgate itself costs: a release whose every stage is cached, against an empty Prefect flow.

Both run as whole processes against the same Prefect server, in turn, with simulated engines. What is left
above an empty flow is the spec, the registry, the scan of the runtime and the looking up of stages.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from tests.simulators.project import Project, project

ROUNDS = 7
_EMPTY = "from prefect import flow\n@flow\ndef empty(): pass\nempty()"


def main() -> None:
    """Print again_s=, empty_flow_s= and again_vs_empty_flow=, medians of whole processes."""
    with prefect_test_harness(server_startup_timeout=120), tempfile.TemporaryDirectory() as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with project(Path(folder), port, str(PREFECT_API_URL.value())) as place:
            figures = measure(place)
    for name, value in figures.items():
        print(f"{name}={value:.2f}")
    if "--json" in sys.argv:
        Path("again.json").write_text(json.dumps(figures))


def measure(place: Project) -> dict[str, float]:
    """Run both in turn; the first release fills the cache and is not counted."""
    place.push()
    spec = str(place.write_spec())
    _released(place, spec)
    again, empty = [], []
    for _ in range(ROUNDS):
        again.append(_seconds(lambda: _released(place, spec)))
        empty.append(_seconds(lambda: _empty(place)))
    ratio = statistics.median(a / e for a, e in zip(again, empty, strict=True))
    return {
        "again_s": statistics.median(again),
        "empty_flow_s": statistics.median(empty),
        "again_vs_empty_flow": ratio,
    }


def _released(place: Project, spec: str) -> None:
    code, _, err = place.command("release", spec, "--json")
    if code:
        raise SystemExit(err)


def _empty(place: Project) -> None:
    subprocess.run([sys.executable, "-c", _EMPTY], env=place.environment(), check=True, capture_output=True)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
