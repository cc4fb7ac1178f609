"""Real image registries on the loopback interface, each a process of its own that ends with the block."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from fleet.local_processes import free_port
from tests.simulators.programs import need_program

_STARTS_WITHIN = 20.0  # seconds


@contextlib.contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    """The distribution project's registry 2.8, without a referrers API; gives its host."""
    program, port = need_program("docker-registry"), free_port()
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: '{folder / 'registry'}'}}}}\n"
    )
    with _running([str(program), "serve", str(config)], port):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def crane_registry(folder: Path) -> Iterator[str]:
    """go-containerregistry's registry as crane serves it, without a referrers API; gives its host."""
    del folder
    program, port = need_program("crane"), free_port()
    with _running([str(program), "registry", "serve", "--address", f"127.0.0.1:{port}"], port):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + _STARTS_WITHIN
        while not _answers(port):
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < ends, f"{command[0]} does not listen on {port}"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
