"""One Prefect server for all tests that run flows in this process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from tests.simulators.project import Project, project


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """A server with an empty database for the session; ten seconds, paid by the first test that asks."""
    # The heartbeat's thread would add a second to every flow run, and nobody reads its logs here.
    quiet = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_LOGGING_TO_API_ENABLED: False}
    with prefect_test_harness(server_startup_timeout=300), temporary_settings(quiet):
        yield str(PREFECT_API_URL.value())


@pytest.fixture
def place(tmp_path: Path, prefect_api: str) -> Iterator[Project]:
    """A user's project, with a port of its own for a gateway."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with project(tmp_path, port, prefect_api) as made:
        yield made
