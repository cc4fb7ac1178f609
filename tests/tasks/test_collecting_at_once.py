"""Garbage collection beside publishers and promoters in other processes, and killed anywhere."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from registry.alias import Alias
from registry.alias_log import all_aliases
from registry.garbage import Retention
from registry.home import Home
from registry.manifests import read_manifest
from registry.publish import get_version, list_versions
from registry.signing import KeySigner
from registry.sweep import missing_bytes
from registry.version import ModelVersion
from tasks.collect_garbage import collect_garbage
from tasks.run import Run, open_run
from tasks.workplace import Workplace
from tests.simulators.released import TinyHome, move, release, tiny_home

_SECONDS = 6.0
NO_GRACE = Retention(rollbacks=0, rollback_seconds=0, grace_seconds=0, log_seconds=0)
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])  # so that a process starts at once


def _weights(number: int) -> dict[str, bytes]:
    shared = {f"part-{n}.safetensors": b"%d" % n * 50 for n in range(number % 3)}
    return {"model.safetensors": b"%d" % number * 100, **shared}


def _missing(at: TinyHome, version: ModelVersion) -> list[str]:
    weights = read_manifest(at.store, version.weights_manifest)
    assert weights
    return missing_bytes(version, weights, at.blobs, at.layout)


def _publish(root: Path, pem: bytes, seed: int, ends: float) -> None:
    """Release and promote at random; what a run released is whole when it ends."""
    at, chance = TinyHome(Home(root), KeySigner.from_pem(pem)), random.Random(seed)
    number = 0
    while time.time() < ends:
        number += 1
        with open_run(at.home, f"publisher-{seed}-{number}"):
            if chance.random() < 0.5:
                version = release(at, weights=_weights(chance.randrange(8)))
            else:
                version = chance.choice(list_versions(at.store))
                if _missing(at, version):
                    continue  # collected before: promoting it is refused
                move(at, Alias.PRODUCTION, version)
            assert _missing(at, version) == []


def _collect(root: Path, pem: bytes, ends: float) -> None:
    at = TinyHome(Home(root), KeySigner.from_pem(pem))
    place = Workplace(at.home, os.environ, Run(at.home, "collector"))
    while time.time() < ends:
        done = collect_garbage.fn(place, NO_GRACE, apply=True)
        with (at.home.root / "collected").open("a") as file:
            file.write("." * sum(kind["count"] for kind in done["kinds"]))


def _start(target: object, *arguments: object) -> BaseProcess:
    process = _processes.Process(target=target, args=arguments)  # type: ignore[arg-type]
    process.start()
    return process


def test_live_versions_keep_every_byte_beside_publishers_and_killed_collectors(tmp_path: Path) -> None:
    """No grace period at all, and a collector that is killed again and again."""
    at = tiny_home(tmp_path / "home")
    for number in range(4):
        release(at, weights=_weights(number))
    _start(time.sleep, 0).join()  # until what forks has imported everything: it may take seconds
    pem, ends = at.signer.to_pem(), time.time() + _SECONDS
    publishers = [_start(_publish, at.home.root, pem, seed, ends) for seed in range(2)]
    chance, killed = random.Random(7), 0
    while time.time() < ends:
        collector = _start(_collect, at.home.root, pem, ends)
        collector.join(0.2 + chance.random())
        killed += collector.is_alive()
        collector.kill()
        collector.join()
    for publisher in publishers:
        publisher.join(60)
        assert publisher.exitcode == 0
    assert killed
    assert len((at.home.root / "collected").read_text()) > 20  # it did collect beside them
    assert len(list_versions(at.store)) > 4
    collect_garbage.fn(Workplace(at.home, os.environ, Run(at.home, "collector")), NO_GRACE, apply=True)
    live = {
        f"{name}/{number}"
        for (name, _), aliases in all_aliases(at.store, at.trust).items()
        for number in aliases.to_json().values()
        if number
    }
    assert {reference: _missing(at, get_version(at.store, reference)) for reference in live} == {
        reference: [] for reference in live
    }
    dead = [v for v in list_versions(at.store) if v.reference not in live]
    assert all(_missing(at, version) for version in dead)
