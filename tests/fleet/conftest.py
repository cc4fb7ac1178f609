"""A real local fleet (supervisor, holder, Envoy) with simulated engines; nothing of it may stay behind."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from fleet.local_fleet import LocalFleet
from fleet.router import DesiredState, ObservedState, ReplicaSpec, Route
from registry.home import Home

ENGINE = Path(__file__).parent.parent / "simulators" / "engine.py"
PATIENCE = 60.0


def spec(revision: str, *knobs: str) -> ReplicaSpec:
    """A simulated engine with these faults."""
    argv = (sys.executable, str(ENGINE), "--port", "{port}", "--name", revision, *knobs)
    return ReplicaSpec(revision, argv, {}, "m")


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@dataclass
class Bench:
    """One fleet under test, its home (with a space in its name), and a client of its gateway."""

    home: Home
    port: int
    fleet: LocalFleet
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=PATIENCE))

    @property
    def folder(self) -> Path:
        return self.home.fleets / "bench"

    def desired(self, *specs: ReplicaSpec, route: Route) -> DesiredState:
        return DesiredState(self.port, specs, route, drain_seconds=10.0)

    def serve(self, *specs: ReplicaSpec, route: Route) -> ObservedState:
        """Apply, wait until all replicas answer and the route is confirmed."""
        desired = self.desired(*specs, route=route)
        self.fleet.apply(desired)
        names = [s.revision for s in specs]
        eventually(lambda: all(map(self.fleet.observed().is_ready, names)))
        eventually(lambda: self.fleet.observed().route == route)
        return self.fleet.observed()

    def ask(self, session: str | None = None, tokens: int = 4, stream: bool = True) -> httpx.Response:
        headers = {"x-session-id": session} if session else {}
        body = {"model": "m", "prompt": "Hello", "max_tokens": tokens, "stream": stream}
        return self.client.post(f"http://127.0.0.1:{self.port}/v1/completions", json=body, headers=headers)

    def answered_by(self, session: str | None = None) -> str:
        return self.ask(session).headers["x-headgate-version"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = Home(tmp_path / "a home")
    found = Bench(home, port, LocalFleet(home, "bench"))
    yield found
    found.client.close()
    found.fleet.down()
    assert processes_of(home) == []


def processes_of(home: Home) -> list[int]:
    """The living processes that carry the marks of a home's fleets."""
    mark = f"HEADGATE_HOME={home.root}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@dataclass
class Traffic:
    """An open-loop client: asks at a steady rate until stopped, whatever the answers."""

    bench: Bench
    rate: float = 40.0
    answers: list[Future[httpx.Response]] = field(default_factory=list)
    running: bool = True

    def run(self) -> None:
        with ThreadPoolExecutor(16) as pool:
            while self.running:
                self.answers.append(pool.submit(self.bench.ask))
                time.sleep(1 / self.rate)

    @property
    def responses(self) -> list[httpx.Response]:
        return [answer.result() for answer in self.answers]


@pytest.fixture
def traffic(bench: Bench) -> Iterator[Traffic]:
    found = Traffic(bench)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(found.run)
        yield found
        found.running = False
        running.result()
