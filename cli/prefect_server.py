"""The Prefect server of a command: the user's, or one of its own for the command's length.

Prefect would start its own in this process's group, where Ctrl-C in a terminal and a service manager's
SIGTERM reach it too: it is gone before the run can say how it ended, and the client tries for minutes. This
one has a session of its own, ends when the command does, and dies with it when that is killed.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from cli import prefect_settings
from cli.display import say
from fleet.local_processes import free_port
from registry.atomic import explained, make_folder
from registry.errors import InfrastructureError
from registry.home import Home
from tasks.process import BackgroundProcess, background_process

# The ephemeral form has no UI and no scheduler. 1 is PR_SET_PDEATHSIG, 15 SIGTERM: no orphan after kill -9.
_SERVE = """
import ctypes, sys
ctypes.CDLL(None).prctl(1, 15)
import uvicorn
from prefect.server.api.server import create_app
uvicorn.run(create_app(ephemeral=True), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""
_POLL = 0.1  # seconds


def connect() -> None:
    """See that flows find a server: call it before a flow is imported. Raises InfrastructureError."""
    prefect_settings.apply()
    import prefect.context
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url:
        _check(settings.api.url)
    if settings.api.url or not settings.server.ephemeral.enabled:
        return
    say("Starting a Prefect server for this command (PREFECT_API_URL names one that stays).")
    port, log_file = free_port(), Home.from_environment(os.environ).cache / "prefect-server.log"
    with explained(log_file):
        make_folder(log_file.parent)
        log_file.unlink(missing_ok=True)
    until_exit = ExitStack()
    atexit.register(until_exit.close)  # before Prefect registers what still talks to the server
    command = [sys.executable, "-c", _SERVE, str(port)]
    server = until_exit.enter_context(background_process(command, log_file=log_file))
    _await_answer(server, port, settings.server.ephemeral.startup_timeout_seconds, log_file)
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    prefect.context.refresh_global_settings_context()


def _check(url: str) -> None:
    """Flows would try for minutes, and end in a traceback."""
    import httpx
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
    except (RuntimeError, httpx.HTTPError) as error:
        problem = error
    if problem:
        raise InfrastructureError(
            f"the Prefect server at {_without_password(url)} does not answer as one",
            why=str(problem).replace(url, _without_password(url)),
            next_step="start it, or correct PREFECT_API_URL; without that a command has a server of its own",
        ) from problem


def _without_password(url: str) -> str:
    host = urlsplit(url).netloc.rpartition("@")[2]
    return urlsplit(url)._replace(netloc=host).geturl()


def _await_answer(server: BackgroundProcess, port: int, seconds: float, log_file: Path) -> None:
    deadline = time.monotonic() + seconds
    while not _answers(port):
        if server.poll() is not None or time.monotonic() > deadline:
            ended = "ended before it answered" if server.poll() is not None else f"took over {seconds:g} s"
            raise InfrastructureError(
                f"the Prefect server of this command {ended}",
                why="\n".join(server.tail()),
                next_step=f"its log is {log_file}; or start one that stays (`prefect server start`), and name"
                " it in PREFECT_API_URL",
            )
        time.sleep(_POLL)


def _answers(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/api/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
