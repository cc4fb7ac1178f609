"""What tests of tasks share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import completions
from tests.simulators.released import TinyHome, tiny_home
from tests.simulators.s3_faults import Faults, faulty_proxy
from tests.simulators.s3_servers import S3Server, any_server, s3_server


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two tries of a request hardly a pause."""
    monkeypatch.setattr(completions, "_PAUSES", (0.01, 0.01, 0.01))


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyHome:
    """An empty home whose key signs what a run says."""
    made = tiny_home(tmp_path / "home")
    key = tmp_path / "signing.pem"
    key.write_bytes(made.signer.to_pem(None))
    key.chmod(0o600)
    monkeypatch.setenv("HEADGATE_SIGNING_KEY", str(key))
    return made


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, str, Faults]]:
    """An S3 service, and the address of a proxy before it that fails on demand."""
    folder = tmp_path_factory.mktemp("s3") / "data"
    with s3_server(any_server(), folder) as server, faulty_proxy(server.endpoint) as (proxy, faults):
        yield server, proxy, faults
