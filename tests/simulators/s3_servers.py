"""Real S3 services for tests, each a process on a free loopback port with a bucket of its own.

versitygw and MinIO are written in Go and independent of each other; moto is there without Go, and checks
no signatures.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fleet.local_processes import free_port
from registry.s3_store import S3Store, s3_client
from tests.simulators.programs import find_program, need_program

BUCKET = "headgate"
ACCESS_KEY, SECRET_KEY = "headgate", "headgate-secret"
SERVERS = ("versitygw", "minio", "moto")
_STARTS_WITHIN_S = 60


@dataclass(frozen=True)
class S3Server:
    """A running service. ``environment`` is what a program needs to reach it through boto3."""

    name: str
    endpoint: str

    def client(self, endpoint: str | None = None, secret: str = SECRET_KEY, key: str = ACCESS_KEY) -> Any:
        return s3_client(
            endpoint or self.endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )

    def store(self, prefix: str = "", endpoint: str | None = None) -> S3Store:
        return S3Store(self.client(endpoint), BUCKET, prefix)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextlib.contextmanager
def s3_server(name: str, folder: Path) -> Iterator[S3Server]:
    """Start the service over an empty folder, and end it; skips the test where it is not installed."""
    port = free_port()
    command = _command(name, port, folder)
    log = (folder.parent / f"{name}.log").open("wb")
    process = subprocess.Popen(command, env=_environment(), stdout=log, stderr=log, cwd=folder)
    server = S3Server(name, f"http://127.0.0.1:{port}")
    try:
        _make_bucket(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


def any_server() -> str:
    """The fastest service that is here."""
    return "versitygw" if find_program("versitygw") else "moto"


def _command(name: str, port: int, folder: Path) -> list[str]:
    address = f"127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    if name == "versitygw":
        return [str(need_program(name)), "--port", address, "posix", str(folder)]
    if name == "minio":
        return [str(need_program(name)), "server", "--quiet", "--address", address, str(folder)]
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]


def _environment() -> dict[str, str]:
    users = {"ROOT_ACCESS_KEY": ACCESS_KEY, "MINIO_ROOT_USER": ACCESS_KEY}
    secrets = {"ROOT_SECRET_KEY": SECRET_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}
    return {**os.environ, **users, **secrets}


def _make_bucket(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            server.client().create_bucket(Bucket=BUCKET)
        except (BotoCoreError, ClientError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
