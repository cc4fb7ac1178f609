"""The entry point: registers the commands, and alone turns errors into words and exit codes."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

import typer

from cli import aliases, archive, attach, fleets, garbage, keys, quickstart, releases, verify, versions
from cli.display import print_json, say
from registry.errors import HeadgateError

app = typer.Typer(
    name="headgate",
    help="A release pipeline for self-hosted LLMs: from a hub to a canary-verified fleet, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(quickstart.quickstart)
app.command()(releases.release)
app.command()(releases.promote)
app.command()(versions.versions)
app.command()(versions.show)
app.command()(aliases.approve)
app.command()(aliases.stage)
app.command()(aliases.history)
app.command()(aliases.vouch)
app.command()(versions.diff)
app.command()(attach.attach)
app.command()(verify.verify)
app.command("export")(archive.export)
app.command("import")(archive.import_)
app.command()(garbage.gc)
app.command()(garbage.pin)
app.command()(garbage.unpin)
app.command()(garbage.reconcile)
app.command()(fleets.status)
app.command()(fleets.down)
app.add_typer(keys.app, name="keys")
app.add_typer(archive.store_app, name="store")

_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


_asked_to_stop = threading.Event()


def run() -> None:
    """The console script: run the command line, exit with its code. SIGTERM ends it as Ctrl-C does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for a job in the background
            signal.signal(number, _stop)
    code = main(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command is over, only Python has to end
    sys.exit(code)


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code (registry/errors.py lists them)."""
    try:
        app(arguments)
    except HeadgateError as error:
        return _failed(error, as_json="--json" in arguments)
    except SystemExit as ended:  # how typer says that it is done
        code = ended.code if isinstance(ended.code, int) else 0
        return _stopped() if code == _INTERRUPTED else code
    except Exception:
        # Libraries wrap the interrupt they meet in errors of their own.
        if _asked_to_stop.is_set():
            return _stopped()
        raise
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    _asked_to_stop.set()
    raise KeyboardInterrupt


def _stopped() -> int:
    say("\nStopped. What was finished is kept: the same command goes on from there.")
    return _INTERRUPTED


def _failed(error: HeadgateError, *, as_json: bool) -> int:
    say(f"\n{error}")
    if as_json:
        parts = {"what": error.what, "why": error.why, "next": error.next_step}
        kind = type(error).__name__
        print_json({"ok": False, "exit_code": error.exit_code, "error": {"kind": kind, **parts}})
    return error.exit_code
