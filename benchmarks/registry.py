"""The registry under many writers, killed at random, on a folder and on S3; then with ten thousand versions.

What every process was told is checked afterwards: no number twice, no move lost, every read at a moment
at which it was true. Figures without a store's name are the worst of both. ``--seconds N`` per store,
``--versions N`` for the second half, ``--json`` writes registry.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.registry_history import (
    Operation,
    duplicate_numbers,
    lost_moves,
    lost_versions,
    misplaced,
    parse_log,
)
from benchmarks.registry_writers import GPU_CLASS, NAMES, Place, run_writers
from registry.alias_history import check_log, history
from registry.alias_log import roll_forward
from registry.digest import Digest, canonical_json
from registry.home import Home
from registry.open_store import open_store
from registry.publish import list_versions, publish, repair_index
from registry.store import Store
from registry.version import VersionDraft
from registry.version_record import index_key, version_key
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import draft
from tests.simulators.s3_servers import BUCKET, any_server, s3_server

_WRITERS = 32
_NAMES_AT_REST = 10
_WORST: Mapping[str, Callable[[Sequence[float]], float]] = {"ops": sum, "kills": sum, "ops_per_s": min}


def main() -> None:
    """Print each figure as name=value; exit code 1 when an update was lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--versions", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    per_store: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for store, environment in _stores(Path(folder)):
            figures = under_writers(environment, Path(folder) / f"{store}-logs", asked.seconds)
            per_store[store] = figures | at_rest(environment, Path(folder) / f"{store}-home", asked.versions)
    figures = _worst(list(per_store.values()))
    for store, own in per_store.items():
        figures |= {f"{store}_{name}": value for name, value in own.items()}
    for name, value in figures.items():
        print(f"{name}={value:.10g}")
    if asked.json:
        Path("registry.json").write_text(json.dumps(figures))
    sys.exit(any(figures[name] for name in ("lost_updates", "duplicate_numbers", "errors")))


def under_writers(environment: Mapping[str, str], logs: Path, seconds: float) -> dict[str, float]:
    """Run the writers, and judge what they saw."""
    logs.mkdir()
    signer, trust = signer_and_trust()
    store = open_store(environment, Home(logs))
    lasted, killed = run_writers(Place(store, signer, trust, logs), _WRITERS, seconds)
    operations, errors = _read_logs(logs)
    lost = lost_versions(operations)
    for name in NAMES:
        roll_forward(store, trust, name, GPU_CLASS)
        errors += check_log(store, trust, name, GPU_CLASS)
        chain = [(move.why, move.after.to_json()) for move in history(store, trust, name, GPU_CLASS)]
        own = [op for op in operations if op.name == name]
        lost += lost_moves(chain, own) + misplaced(chain, own)
    for error in errors[:10]:
        print(f"error: {error}", file=sys.stderr)
    answered = sorted((op.end - op.start) * 1000 for op in operations if op.is_answered)
    return {
        "ops": len(answered),
        "kills": killed,
        "errors": len(errors),
        "lost_updates": lost,
        "duplicate_numbers": duplicate_numbers(operations) + _double_contents(store),
        "ops_per_s": round(len(answered) / lasted, 1),
        "p99_ms": round(statistics.quantiles(answered, n=100)[98], 1),
    }


def at_rest(environment: Mapping[str, str], home: Path, versions: int) -> dict[str, float]:
    """Seconds for the library and the commands with many versions in the store."""
    here = {**environment, "HEADGATE_STORE": environment["HEADGATE_STORE"] + "-many"}
    store = open_store(here, Home(home))
    _fill(store, versions)
    name = "many-0"
    known = draft(name, image=Digest.of_bytes(b"0"))
    return {
        "list_s": _seconds(lambda: list_versions(store)),
        "publish_new_s": _seconds(lambda: publish(store, draft(name, image=Digest.of_bytes(b"new")))),
        "publish_known_s": _seconds(lambda: publish(store, known)),
        "versions_command_s": _command(here, home, "versions"),
        "show_s": _command(here, home, "show", f"{name}/1"),
        "gc_s": _command(here, home, "gc"),
    }


@contextlib.contextmanager
def _s3_environment(folder: Path) -> Iterator[dict[str, str]]:
    with s3_server(any_server(), folder / "s3" / "data") as server:
        os.environ.update(server.environment)  # boto3 looks for its keys there
        yield {"HEADGATE_STORE": f"s3://{BUCKET}/registry", **server.environment}


def _stores(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    yield "dir", {"HEADGATE_STORE": str(folder / "store")}
    with _s3_environment(folder) as environment:
        yield "s3", environment


def _read_logs(logs: Path) -> tuple[list[Operation], list[str]]:
    operations, errors = [], []
    for path in logs.glob("*.jsonl"):
        with path.open() as lines:
            found, said = parse_log(lines)
        operations += found
        errors += said
    return operations, errors


def _double_contents(store: Store) -> int:
    """What publishing must have left: each content once, and an index that says so."""
    versions = list_versions(store)
    doubles = len(versions) - len({(version.name, version.content_digest) for version in versions})
    return doubles + sum(len(repair_index(store, name)) for name in NAMES)


def _fill(store: Store, versions: int) -> None:
    """Versions as publishing leaves them, written in bulk."""

    def put(number: int) -> None:
        name, own = f"many-{number % _NAMES_AT_REST}", number // _NAMES_AT_REST + 1
        content: VersionDraft = draft(name, image=Digest.of_bytes(str(number).encode()))
        record = canonical_json(content.numbered(own).to_json())
        store.put_if_absent(version_key(name, own), record)
        store.put_if_absent(index_key(content), str(own).encode())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(versions)))
    for name in range(_NAMES_AT_REST):
        publish(store, draft(f"many-{name}", image=Digest.of_bytes(b"last")))


def _command(environment: Mapping[str, str], home: Path, *words: str) -> float:
    env = {**os.environ, **environment, "HEADGATE_HOME": str(home)}
    command = [sys.executable, "-c", "from cli.main import run; run()", *words, "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"headgate {' '.join(words)}: {done.stderr}")
    return round(time.perf_counter() - began, 2)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 3)


def _worst(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: _WORST.get(name, max)([own[name] for own in figures]) for name in figures[0]}


if __name__ == "__main__":
    main()
