"""Makes the environments of engines with uv, once each, and remembers where their interpreters are.

What is written down after a success is trusted until the interpreter is gone; what a killed run left half
made is laid anew. Two processes that need the same one take turns. What uv is told is ``tasks.engine_uv``.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uv

from registry.atomic import write_file
from registry.errors import InfrastructureError, UsageError
from tasks import engine_uv
from tasks.process import ProcessFailed, run_process
from tasks.progress import StageProgress

ENGINES = Path(__file__).resolve().parent / "engines"
TIMEOUT = 2 * 3600.0  # seconds; torch's CUDA build over a slow line
_SIZE = (
    "about 3 GB to download and 6 GB on disk, once; a CPU wheel index in HEADGATE_TORCH_INDEX makes it less"
)

Log = Callable[[str], None]


@dataclass(frozen=True)
class EnginePython:
    """An engine's interpreter."""

    python: Path


def engine_script(name: str) -> Path:
    """The script of an engine; raises UsageError for an unknown name."""
    script = ENGINES / f"{name}.py"
    if not script.is_file():
        known = sorted(path.stem for path in ENGINES.glob("*.py") if _is_engine(path))
        raise UsageError(f"there is no engine {name!r}", next_step=f"choose one of {', '.join(known)}")
    return script


def _is_engine(path: Path) -> bool:
    """What engines share lies beside them and names no dependencies."""
    return path.read_text(encoding="utf-8").startswith("# /// script\n")


def prepare_engine(
    name: str, *, env: Mapping[str, str], log: Log, progress: StageProgress, script: Path | None = None
) -> EnginePython:
    """The interpreter of the engine's environment, made first if need be; ``script`` overrides where it lies.

    Costs nothing and needs no network when the environment is there. Raises InfrastructureError.
    """
    source = script or engine_script(name)
    header = engine_uv.with_torch_index(
        engine_uv.read_header(source.read_text(encoding="utf-8"), name),
        env.get(engine_uv.TORCH_INDEX_VARIABLE),
    )
    variables = engine_uv.uv_variables(env)
    key = engine_uv.environment_key(header, variables, platform.python_version())
    place = _Place(_records(env), key.hex[:16])
    python = place.known_python()
    if python is None:
        with place.turn(progress):
            python = place.known_python() or _make(place, name, header, variables, log, progress)
    return EnginePython(python)


def _records(env: Mapping[str, str]) -> Path:
    """A folder of the user, not of HEADGATE_HOME: environments lie in uv's cache, which all homes share."""
    cache = env.get("XDG_CACHE_HOME") or Path(env.get("HOME") or Path.home()) / ".cache"
    return Path(cache).absolute() / "headgate" / "engines"


@dataclass(frozen=True)
class _Place:
    """The files about one environment: its header, its lock, whether it is being made, where it is."""

    folder: Path
    key: str

    @property
    def script(self) -> Path:
        return self.folder / f"{self.key}.py"

    @property
    def unfinished(self) -> Path:
        return self.folder / f"{self.key}.unfinished"

    @property
    def record(self) -> Path:
        return self.folder / f"{self.key}.json"

    def known_python(self) -> Path | None:
        try:
            python = Path(json.loads(self.record.read_text(encoding="utf-8"))["python"])
        except (OSError, ValueError, KeyError):
            return None
        return python if os.access(python, os.X_OK) else None

    @contextmanager
    def turn(self, progress: StageProgress) -> Iterator[None]:
        """Hold the lock; the kernel frees it however this process ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{self.key}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting for another process that makes this environment", None)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _make(
    place: _Place, name: str, header: str, variables: Mapping[str, str], log: Log, progress: StageProgress
) -> Path:
    size = f": {_SIZE}" if engine_uv.needs_torch(header) else ""
    progress(f"making the environment of {name}{size}", None)
    write_file(place.script, header.encode())
    again = place.unfinished.exists()
    place.unfinished.touch()

    def heard(line: str) -> None:
        log(line)
        step = engine_uv.step_of(line)
        if step:
            progress(f"{name}: {step}", None)

    _sync(place, name, variables, again, heard)
    python = _find(place, name, variables)
    write_file(place.record, json.dumps({"python": str(python)}).encode())
    place.unfinished.unlink()
    return python


def _sync(place: _Place, name: str, variables: Mapping[str, str], again: bool, heard: Log) -> None:
    """Ask uv with the network, and should that not answer, with what its cache holds."""
    said = _try_sync(place, variables, heard, again=again, offline=False)
    if said is None:
        return
    if not engine_uv.is_unreachable(said):
        raise engine_uv.explain_failure(name, said)
    if _try_sync(place, variables, heard, again=again, offline=True) is not None:
        raise engine_uv.explain_failure(name, said)


def _try_sync(
    place: _Place, variables: Mapping[str, str], heard: Log, *, again: bool, offline: bool
) -> list[str] | None:
    """None when uv made the environment, else what it said; raises ProcessFailed when it was killed."""
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        heard(line)

    command = engine_uv.sync_command(_uv(), str(place.script), sys.executable, again=again, offline=offline)
    try:
        run_process(command, log=hear, timeout=TIMEOUT, env=variables)
    except ProcessFailed as error:
        if error.returncode is None or error.returncode < 0:
            raise
        return said
    return None


def _find(place: _Place, name: str, variables: Mapping[str, str]) -> Path:
    lines: list[str] = []
    run_process(engine_uv.find_command(_uv(), str(place.script)), log=lines.append, timeout=60, env=variables)
    paths = [Path(line.strip()) for line in lines if line.strip().startswith("/")]
    if not paths or not os.access(paths[-1], os.X_OK):
        raise InfrastructureError(
            f"the environment of the engine {name} was made, but has no interpreter",
            why=" ".join(lines),
            next_step="run again",
        )
    return paths[-1]


def _uv() -> str:
    try:
        return str(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise InfrastructureError(
            "uv, which makes the engines' environments, is not installed",
            why=str(error),
            next_step="install it beside Headgate with `pip install uv`",
        ) from None
