"""The entry point: turns errors, mistakes and interrupts into words, one JSON line and exit codes.

It imports next to nothing before it can be interrupted: what it needs is a third of a second of imports.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_STOPPED = "Stopped. What was finished is kept: the same command goes on from there."
# Written as it is: a signal may come while the JSON library is half imported.
_STOPPED_JSON = (
    '{"ok":false,"exit_code":130,"error":{"kind":"Interrupted","what":"Stopped","why":"",'
    '"next":"run the same command again: what was finished is kept"}}'
)

_signals: list[int] = []  # the requests to stop that came while a command ran


def run() -> None:
    """The console script: run the command line, exit with its code. SIGTERM ends it as Ctrl-C does."""
    _on_signals(_leave)
    import cli.app  # noqa: F401 - is loaded while nothing has to be tidied up

    try:
        _on_signals(_stop)
        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # in the moments before and after the command
        code = _stopped(as_json="--json" in sys.argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command is over, only Python has to end
    sys.exit(code)


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code (registry/errors.py lists them)."""
    from cli.app import app
    from cli.display import say
    from registry.errors import HeadgateError

    as_json = "--json" in arguments
    try:
        app(arguments, prog_name="headgate")
    except HeadgateError as error:
        say(f"\n{error}")
        if as_json:
            parts = {"what": error.what, "why": error.why, "next": error.next_step, **error.files}
            _print_error(error.exit_code, type(error).__name__, parts)
        return error.exit_code
    except SystemExit as ended:  # how typer says that it is done
        return _ended(ended, as_json=as_json)
    except Exception:
        # Libraries wrap the interrupt they meet in errors of their own.
        if _signals:
            return _stopped(as_json=as_json)
        raise
    return 0


def _on_signals(handler: Callable[[int, object], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for a job in the background
            signal.signal(number, handler)


def _leave(_number: int, _frame: object) -> None:
    """At once: nothing has begun, and an import that is interrupted shows where."""
    try:
        os.write(2, f"\n{_STOPPED}\n".encode())
        if "--json" in sys.argv:
            os.write(1, f"{_STOPPED_JSON}\n".encode())
    finally:
        os._exit(_INTERRUPTED)


def _stop(number: int, _frame: object) -> None:
    _signals.append(number)
    raise KeyboardInterrupt


def _stopped(*, as_json: bool) -> int:
    from cli.display import say

    say(f"\n{_STOPPED}")
    if as_json:
        sys.stdout.write(f"{_STOPPED_JSON}\n")
        sys.stdout.flush()
    return _INTERRUPTED


def _ended(ended: SystemExit, *, as_json: bool) -> int:
    import typer

    code = ended.code if isinstance(ended.code, int) else 0
    if code == _INTERRUPTED:
        return _stopped(as_json=as_json)
    mistake = ended.__context__  # what typer has told people before it ended
    if code and as_json and mistake and not isinstance(mistake, typer.Exit):  # then the command has told
        told = getattr(mistake, "format_message", mistake.__str__)()
        usage = getattr(getattr(mistake, "ctx", None), "command_path", "headgate")
        _print_error(code, "UsageError", {"what": told, "why": "", "next": f"see `{usage} --help`"})
    return code


def _print_error(code: int, kind: str, parts: dict[str, str]) -> None:
    from cli.display import print_json

    print_json({"ok": False, "exit_code": code, "error": {"kind": kind, **parts}})
