"""What tests of tasks share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulators.released import TinyHome, tiny_home


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyHome:
    """An empty home whose key signs what a run says."""
    made = tiny_home(tmp_path / "home")
    key = tmp_path / "signing.pem"
    key.write_bytes(made.signer.to_pem(None))
    key.chmod(0o600)
    monkeypatch.setenv("HEADGATE_SIGNING_KEY", str(key))
    return made
