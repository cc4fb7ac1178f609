"""Serving for a judge: one server of one artefact, up for as long as it is being measured.

Fleets run servers that outlive a flow; these do not. Both get the same command line, so what is judged
is what is served.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet.local_processes import free_port
from fleet.readiness import answers
from fleet.router import ReplicaSpec
from fleet.vllm_command import vllm_arguments
from registry.atomic import write_file
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError, TimedOut
from registry.manifest import Manifest
from registry.version import ServeConfig
from tasks.engine_environment import engine_script
from tasks.process import BackgroundProcess, background_process
from tasks.progress import report
from tasks.runtime import RUNTIME_ENGINE, Installed
from tasks.workplace import Workplace

_START_TIMEOUT = 1800.0  # seconds; a 70B model from a cold disk takes about ten minutes


@dataclass(frozen=True)
class Served:
    """An artefact as a judge meets it; ``who`` (candidate, source, production) is for people."""

    who: str
    weights: Manifest
    serve: ServeConfig
    installed: Installed


@dataclass(frozen=True)
class Endpoint:
    """Where a server answers, by which model name, the folder of its tokenizer, and its process if known."""

    base_url: str
    model: str
    folder: Path
    server: BackgroundProcess | None = None


def replica(place: Workplace, served: Served, revision: str) -> ReplicaSpec:
    """The command that serves an artefact; its request file stays, for daemons to start it again."""
    request = canonical_json(
        {
            "model_dir": str(place.unpacked(served.weights)),
            "served_model_name": served.who,
            "arguments": vllm_arguments(served.serve, served_model_name=served.who),
        }
    )
    path = place.home.cache / "serve" / f"{Digest.of_bytes(request).hex}.json"
    write_file(path, request)
    argv = (str(served.installed.python), str(engine_script(RUNTIME_ENGINE)), str(path), "--port", "{port}")
    return ReplicaSpec(revision=revision, argv=argv, model=served.who)


@contextmanager
def serving(place: Workplace, served: Served) -> Iterator[Endpoint]:
    """A server of the artefact on a free loopback port, ready when the block begins and gone when it ends."""
    spec, port = replica(place, served, served.who), free_port()
    log_file = place.run.log_file(f"serve-{served.who}")
    report("evaluate", f"{served.who}: starting vLLM")
    with background_process(spec.command(port), log_file=log_file) as server:
        _await_answer(server, port, spec.model, log_file)
        folder = place.unpacked(served.weights)
        yield Endpoint(f"http://127.0.0.1:{port}", spec.model, folder, server)


def _await_answer(server: BackgroundProcess, port: int, model: str, log_file: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while not answers(port, model, timeout=30.0):
        if (code := server.poll()) is not None:
            raise InfrastructureError(
                f"the server of the {model} ended with code {code} before it answered",
                why="\n".join(server.tail()),
                next_step=f"its whole log is {log_file}",
            )
        if time.monotonic() > deadline:
            raise TimedOut(
                f"the server of the {model} answered no completion within {_START_TIMEOUT:g} s",
                why="\n".join(server.tail()),
                next_step=f"its whole log is {log_file}",
            )
        time.sleep(0.25)
