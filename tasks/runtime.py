"""The runtime: the serving engine's environment, made when it is missing, and what is installed in it."""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from images.runtime import Runtime
from registry.atomic import write_file
from registry.digest import Digest
from registry.errors import HeadgateError, InfrastructureError, UsageError
from tasks.engine_run import describe_engine, prepare
from tasks.workplace import Workplace

RUNTIME_ENGINE = "serve_vllm_cpu"
_LIBNUMA = "libnuma.so.1"


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
    """The vLLM environment of this Headgate, remembered so that an upgrade leaves a way back."""
    check_libnuma()
    with place.stage("runtime", "vLLM environment"):
        installed = _describe(place, prepare(RUNTIME_ENGINE, place.run, stage="runtime"))
        write_file(_record(place, installed.runtime.digest), str(installed.python).encode())
    return installed


def runtime_of(place: Workplace, digest: Digest) -> Installed:
    """The runtime a version was judged on, this Headgate's or an older one that is still on the machine.

    Raises UsageError when it is gone or was changed.
    """
    check_libnuma()
    # As it was left first: going back must need neither the package index nor the newest runtime.
    if left := runtime_left(place, digest):
        return left
    current = install_runtime(place)
    if current.runtime.digest == digest:
        return current
    raise UsageError(
        "the version was judged on a runtime that is not on this machine any more",
        why=f"it was {digest.short}, installed is {current.runtime.digest.short}",
        next_step="`headgate regate` judges its weights on the new runtime, and makes a new version",
    )


def runtime_left(place: Workplace, digest: Digest) -> Installed | None:
    """The same, as the Headgate that made it has left it on this machine; None when it is gone or changed."""
    with contextlib.suppress(OSError, HeadgateError):
        known = _describe(place, Path(_record(place, digest).read_text(encoding="utf-8")))
        return known if known.runtime.digest == digest else None
    return None


def check_libnuma() -> None:
    """Raises InfrastructureError without the system library that vLLM for processors needs.

    vLLM itself fails minutes later, and names something else.
    """
    try:
        ctypes.CDLL(_LIBNUMA)
    except OSError as error:
        raise InfrastructureError(
            f"the system library {_LIBNUMA} is not on this machine",
            why="vLLM for processors needs it",
            next_step="run `apt-get install -y libnuma1` (elsewhere `numactl-libs`), then this again",
        ) from error


def _describe(place: Workplace, python: Path) -> Installed:
    return Installed(python, Runtime.from_json(describe_engine(RUNTIME_ENGINE, python, place.run)))


def _record(place: Workplace, runtime: Digest) -> Path:
    return place.home.cache / "runtimes" / runtime.hex
