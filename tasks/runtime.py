"""The runtime: the serving engine's environment, made when it is missing, and what is installed in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from images.runtime import Runtime
from tasks.engine_run import describe_engine, prepare
from tasks.workplace import Workplace

RUNTIME_ENGINE = "serve_vllm_cpu"


@dataclass(frozen=True)
class Installed:
    """A runtime that can be started: its interpreter, its folder, and its distributions."""

    python: Path
    runtime: Runtime

    @property
    def folder(self) -> Path:
        """The environment's root folder."""
        return self.python.parent.parent


@task(cache_policy=NO_CACHE)
def install_runtime(place: Workplace) -> Installed:
    """The vLLM environment as it is on this machine."""
    with place.stage("runtime", "vLLM environment"):
        python = prepare(RUNTIME_ENGINE, place.run, stage="runtime")
        return Installed(python, Runtime.from_json(describe_engine(RUNTIME_ENGINE, python, place.run)))
