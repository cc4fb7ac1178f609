"""What every engine does around its work: read a request, report progress, write one result.

Standard library only, because each engine runs in an environment of its own and this file lies beside
it as a script, not as a package. It knows nothing of what the engines do.
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

FailureClass = Literal["infra", "config", "model"]


class EngineError(Exception):
    """A failure with a class (who has to act) and three sentences: what, why, and the next step."""

    def __init__(self, failure: FailureClass, what: str, *, why: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.failure, self.what, self.why, self.next_step = failure, what, why, next_step

    def to_json(self) -> dict[str, str]:
        """The error as the result file carries it."""
        return {"class": self.failure, "what": self.what, "why": self.why, "next": self.next_step}


def progress(fraction: float, message: str) -> None:
    """Tell the caller how far the work is: a fraction of 0 to 1 and a few words, as one line of JSON."""
    line = json.dumps({"progress": round(min(max(fraction, 0.0), 1.0), 4), "message": message})
    print(line, flush=True)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each of these distributions; raises PackageNotFoundError."""
    return {name: importlib.metadata.version(name) for name in packages}


def serve_request(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Run ``work`` on the request file named first on the command line; its outcome goes to the second.

    Ends the process: 0 when the result says ok, 1 when it carries an error.
    """
    request_file, result_file = (Path(argument) for argument in sys.argv[1:3])
    try:
        result = {"ok": True, **work(json.loads(request_file.read_text(encoding="utf-8")))}
    except EngineError as error:
        result = {"ok": False, "error": error.to_json()}
    except Exception as error:
        # The traceback is for the log; the person gets the sentences.
        traceback.print_exc()
        result = {"ok": False, "error": _unexpected(error).to_json()}
    write_result(result_file, result)
    sys.exit(0 if result["ok"] else 1)


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write the result in one step: a reader sees the whole file or none."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(result, allow_nan=False), encoding="utf-8")
    partial.replace(path)


def _unexpected(error: Exception) -> EngineError:
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, KeyError):
        return EngineError(
            "config",
            "The engine's request lacks something",
            why=detail,
            next_step="check that Headgate and its engine scripts are of one version",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return EngineError("infra", "The disk is full", why=detail, next_step="free some space and run again")
    if isinstance(error, MemoryError):
        return EngineError(
            "infra", "The memory is used up", why=detail, next_step="use a larger machine or a smaller model"
        )
    return EngineError("infra", "The engine stopped", why=detail, next_step="read the log of this stage")
