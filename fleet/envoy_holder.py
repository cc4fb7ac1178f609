"""Envoy's parent: ``python -m fleet.envoy_holder --admin-file FILE --drain-seconds N -- ENVOY ARGS...``.

A plain SIGTERM makes Envoy cut every stream, and a build may ask the kernel for one when the thread that
started it ends. So its parent is a main thread that does nothing else and outlives everybody who wants the
gateway. On SIGTERM the holder drains: Envoy tells clients to reconnect, running streams get up to N
seconds, then Envoy ends. A second SIGTERM ends it at once. The holder ends when Envoy ends; an Envoy that
outlives a killed holder is ended by the supervisor, which starts both again.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

from fleet.envoy_config import STAT_PREFIX
from fleet.envoy_router import EnvoyAdmin
from registry.errors import InfrastructureError

_POLL_SECONDS = 0.1
_END_SECONDS = 5.0


class _Stop(Exception):
    """SIGTERM arrived."""


def main(arguments: list[str]) -> int:
    """Run Envoy until it ends or SIGTERM arrives; returns its exit status."""
    parser = argparse.ArgumentParser(prog="fleet.envoy_holder")
    parser.add_argument("--admin-file", type=Path, required=True)
    parser.add_argument("--drain-seconds", type=float, required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    with subprocess.Popen(options.command) as envoy:
        try:
            return envoy.wait()
        except (_Stop, KeyboardInterrupt):
            signal.signal(signal.SIGTERM, lambda _number, _frame: envoy.terminate())
            _drain(EnvoyAdmin(options.admin_file), envoy, options.drain_seconds)
            return _end(envoy)


def _stop(_number: int, _frame: object) -> None:
    raise _Stop


def _drain(admin: EnvoyAdmin, envoy: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    active = f"http.{STAT_PREFIX}.downstream_rq_active"
    try:
        admin.request("POST", "/drain_listeners?graceful")
        while envoy.poll() is None and time.monotonic() < deadline:
            if admin.statistics(f"^{active}$").get(active, "0") == "0":
                return
            time.sleep(_POLL_SECONDS)
    except InfrastructureError:
        return  # an Envoy that does not answer has no streams worth waiting for


def _end(envoy: subprocess.Popen[bytes]) -> int:
    envoy.terminate()
    try:
        return envoy.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        envoy.kill()
        return envoy.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
