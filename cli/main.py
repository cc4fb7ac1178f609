"""The entry point: registers the commands, and alone turns errors into words and exit codes."""

from __future__ import annotations

import signal
import sys

import typer

from cli import fleets, quickstart, releases, versions
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
app.command()(fleets.status)
app.command()(fleets.down)

_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def run() -> None:
    """The console script: run the command line, exit with its code. SIGTERM ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code (registry/errors.py lists them)."""
    try:
        app(arguments)
    except HeadgateError as error:
        return _failed(error, as_json="--json" in arguments)
    except SystemExit as ended:  # how typer says that it is done
        code = ended.code if isinstance(ended.code, int) else 0
        if code == _INTERRUPTED:
            say("\nStopped. What was finished is kept: the same command goes on from there.")
        return code
    return 0


def _failed(error: HeadgateError, *, as_json: bool) -> int:
    say(f"\n{error}")
    if as_json:
        parts = {"what": error.what, "why": error.why, "next": error.next_step}
        kind = type(error).__name__
        print_json({"ok": False, "exit_code": error.exit_code, "error": {"kind": kind, **parts}})
    return error.exit_code
