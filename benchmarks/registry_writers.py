"""Processes that publish versions, move aliases and read, all at once, and are killed: each leaves a log."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry.alias import Alias
from registry.alias_chain import Chain
from registry.alias_log import move_alias
from registry.digest import Digest
from registry.errors import HeadgateError, UsageError
from registry.publish import get_version, publish
from registry.signing import KeySigner
from registry.store import Store
from registry.trust import Trust
from tests.simulators.records import draft

NAMES = tuple(f"model-{number}" for number in range(8))
GPU_CLASS = "cpu"
_KILL_EVERY_S = 0.4
# Forked: a killed writer is replaced at once, and not after the seconds that imports take on a busy machine.
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Place:
    """Where the writers work: a store not used yet, the key they sign with, and the folder of logs."""

    store: Store
    signer: KeySigner
    trust: Trust
    logs: Path


def run_writers(place: Place, processes: int, seconds: float) -> tuple[float, int]:
    """Let them write for some seconds; returns how long they did in seconds, and how many were killed."""
    stop = _FORK.Event()
    writers = [_started(place, stop, number) for number in range(processes)]
    begun = time.monotonic()
    killed = 0
    while time.monotonic() - begun < seconds:
        time.sleep(_KILL_EVERY_S * random.uniform(0.5, 1.5))
        victim = random.randrange(processes)
        writers[victim].kill()
        writers[victim].join()
        killed += 1
        writers[victim] = _started(place, stop, processes + killed)
    stop.set()
    lasted = time.monotonic() - begun
    for writer in writers:
        writer.join()
    return lasted, killed


def _started(place: Place, stop: Any, number: int) -> Any:
    process = _FORK.Process(target=_write, args=(place, stop, number), daemon=True)
    process.start()
    return process


def _write(place: Place, stop: Any, number: int) -> None:
    # Not the parent's numbers: a fork would repeat them.
    writer = _Writer(place, f"w{number}", random.Random(number))
    while not stop.is_set():
        try:
            writer.step()
        except HeadgateError as problem:
            writer.write({"error": str(problem)})
    os._exit(0)


@dataclass
class _Writer:
    place: Place
    id: str
    dice: random.Random
    done: int = 0
    known: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = self.place.store
        self.log = os.open(self.place.logs / f"{self.id}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def step(self) -> None:
        """One operation of some kind."""
        name, choice = self.dice.choice(NAMES), self.dice.random()
        if choice < 0.4 or name not in self.known:
            self._publish(name)
        elif choice < 0.8:
            self._move(name)
        elif choice < 0.9:
            self._read(name)
        else:
            self._find(name)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append to the log; one write each, which survives this process."""
        os.write(self.log, json.dumps(entry).encode() + b"\n")

    def _publish(self, name: str) -> None:
        # Some contents are everybody's: the same release made by several machines at once.
        shared = self.dice.random() < 0.3
        content = f"shared {int(time.monotonic() * 2)}" if shared else f"{self.id} {self.done}"
        image = Digest.of_bytes(content.encode())
        with self._logged("publish", name, image.hex) as answer:
            answer["got"] = publish(self.store, draft(name, image=image)).number
        self.known[name] = answer["got"]

    def _move(self, name: str) -> None:
        alias, number = self.dice.choice(list(Alias)), self.dice.randint(1, self.known[name])
        with self._logged("move", name, [str(alias), number]) as answer:
            move_alias(
                self.store,
                self.place.signer,
                self.place.trust,
                name=name,
                gpu_class=GPU_CLASS,
                alias=alias,
                number=number,
                at=datetime.now(UTC),
                who=self.id,
                why=answer["id"],
            )
            answer["got"] = True

    def _read(self, name: str) -> None:
        with self._logged("read", name) as answer:
            chain = Chain(self.store, self.place.trust, name, GPU_CLASS)
            answer["got"] = chain.latest()[1].move

    def _find(self, name: str) -> None:
        number = self.known[name] + self.dice.randint(-2, 2)
        if number < 1:
            return
        with self._logged("find", name, number) as answer:
            try:
                answer["got"] = get_version(self.store, f"{name}/{number}").image.hex
            except UsageError:
                answer["got"] = None

    @contextmanager
    def _logged(self, kind: str, name: str, wanted: Any = None) -> Iterator[dict[str, Any]]:
        self.done += 1
        begun = {"id": f"{self.id}-{self.done}", "kind": kind, "name": name, "wanted": wanted}
        self.write({**begun, "start": time.monotonic()})
        answer: dict[str, Any] = {"id": begun["id"]}
        yield answer
        self.write({**answer, "end": time.monotonic()})
