"""Runs engines: a request file in, progress lines on the way, a result file out, failures as our errors.

An engine runs in its own environment and knows nothing of Headgate; its environment is made by
``tasks.engine_environment``, its process is started by ``tasks.process``.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from registry.data_errors import worded
from registry.digest import Digest
from registry.errors import HeadgateError, InfrastructureError, Refused, UsageError
from tasks.engine_environment import ENGINES, EnginePython, engine_script, prepare_engine
from tasks.engine_uv import engine_variables
from tasks.process import ProcessFailed, run_process
from tasks.progress import StageProgress, progress_of
from tasks.redact import without_secrets
from tasks.run import Run

_ERRORS: Mapping[str, type[HeadgateError]] = {
    "config": UsageError,
    "model": Refused,
    "infra": InfrastructureError,
}
_IMPORTED = re.compile(r"^(?:from|import) (\w+)", re.MULTILINE)
_DESCRIBE_TIMEOUT = 120.0  # seconds


def prepare(name: str, run: Run, *, stage: str) -> Path:
    """The engine's interpreter, its environment made first if need be, with progress under ``stage``."""
    return _prepared(name, run, stage).python


def run_engine(
    name: str,
    request: Mapping[str, Any],
    run: Run,
    *,
    timeout: float,
    stage: str,
    heard: Callable[[Mapping[str, Any]], None] = lambda _line: None,
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The engine's result; ``timeout`` in seconds is for its work, not for making its environment.

    ``heard`` is given what it says on the way beside its progress; what that raises ends the engine.
    ``secrets`` are variables that it alone gets, named as ``tasks.redact`` knows them. Raises UsageError
    (the request), Refused (the model), InfrastructureError, or TimedOut.
    """
    python = prepare(name, run, stage=stage)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=run.directory))
    command = write_request(folder, python, engine_script(name), request)
    try:
        run_process(
            command,
            log=listener(progress_of(stage), heard),
            log_file=run.log_file(stage),
            timeout=timeout,
            env={**without_secrets(engine_variables(os.environ)), **secrets},
        )
    except ProcessFailed as failure:
        raise read_failure(folder / "result.json") or failure from None
    return read_result(name, folder / "result.json")


def describe_engine(name: str, python: Path, run: Run) -> dict[str, Any]:
    """What a serving engine says is installed beside it (its ``--describe``)."""
    lines: list[str] = []
    run_process(
        [str(python), str(engine_script(name)), "--describe"],
        log=lines.append,
        log_file=run.log_file("runtime"),
        timeout=_DESCRIBE_TIMEOUT,
        env=without_secrets(engine_variables(os.environ)),
    )
    distributions = [value for line in lines if (value := _json_object(line)) is not None]
    if not distributions:
        raise InfrastructureError(
            f"the engine {name} did not describe its environment",
            why=" ".join(lines[-3:]),
            next_step=f"remove the environment of {python.parent.parent} and run again",
        )
    return {"distributions": distributions}


def engine_digest(name: str) -> Digest:
    """Changes whenever the engine's program does: its script, pins included, or a sibling that it imports."""
    return Digest.of_json({file.name: str(Digest.of_file(file)) for file in _program(engine_script(name))})


def write_request(folder: Path, python: Path, script: Path, request: Mapping[str, Any]) -> list[str]:
    """Write the request into the folder; returns the command that leaves ``result.json`` beside it."""
    request_file = folder / "request.json"
    request_file.write_text(json.dumps(request, indent=2), encoding="utf-8")
    return [str(python), str(script), str(request_file), str(folder / "result.json")]


def listener(progress: StageProgress, heard: Callable[[Mapping[str, Any]], None]) -> Callable[[str], None]:
    """Takes an engine's output line by line: progress, other JSON objects; the rest is in the log file.

    Once ``heard`` has raised, nobody hears what else the engine says until it is gone.
    """
    ended = False

    def listen(line: str) -> None:
        nonlocal ended
        value = None if ended else _json_object(line)
        if value is not None and "progress" not in value:
            ended = True
            heard(value)
            ended = False
        elif value is not None and isinstance(value["progress"], int | float):
            progress(str(value.get("message", "")), value["progress"])

    return listen


@contextmanager
def reading(name: str, log: Path) -> Iterator[None]:
    """Where what an engine wrote is read: any other form than it should have is an InfrastructureError."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as problem:
        raise InfrastructureError(
            f"what the engine {name} wrote cannot be read",
            why=worded(problem),
            next_step=f"read {log} and run the same command again",
        ) from problem


def read_result(name: str, path: Path) -> dict[str, Any]:
    """The result an engine that ended well left behind; raises InfrastructureError without one."""
    result = _read(path)
    if not result.get("ok"):
        raise InfrastructureError(
            f"the engine {name} ended without a result", next_step="read the log of this stage and run again"
        )
    return result


def read_failure(path: Path) -> HeadgateError | None:
    """The error an engine reported, as ours; None when it died before it could."""
    error = _read(path).get("error")
    if not isinstance(error, dict):
        return None
    kind = _ERRORS.get(str(error.get("class")), InfrastructureError)
    return kind(str(error.get("what")), why=str(error.get("why", "")), next_step=str(error.get("next", "")))


def _program(script: Path) -> list[Path]:
    """The script and what it imports from its own folder, in turn."""
    files = [script]
    for file in files:  # grows while it is gone through
        names = _IMPORTED.findall(file.read_text(encoding="utf-8"))
        siblings = (ENGINES / f"{name}.py" for name in names)
        files += [sibling for sibling in siblings if sibling.is_file() and sibling not in files]
    return files


def _prepared(name: str, run: Run, stage: str) -> EnginePython:
    def to_log(line: str) -> None:
        with run.log_file(stage).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    return prepare_engine(name, env=os.environ, log=to_log, progress=progress_of(stage))


def _read(path: Path) -> dict[str, Any]:
    try:
        return _json_object(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError):
        return {}


def _json_object(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
