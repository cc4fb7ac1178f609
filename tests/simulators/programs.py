"""Finds real servers and tools a test needs and pip does not bring; a test without one is skipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_HOW = {
    "chromium": "apt-get install chromium",
    "docker-registry": "apt-get install docker-registry",
    "versitygw": "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0",
    "minio": "go install github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
    "crane": "go install github.com/google/go-containerregistry/cmd/crane@v0.22.1",
    "cosign": "go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3",
}


def find_program(name: str) -> Path | None:
    """The program on PATH or where ``go install`` puts it, or None."""
    go = Path(os.environ.get("GOBIN") or Path(os.environ.get("GOPATH") or Path.home() / "go") / "bin")
    found = shutil.which(name) or shutil.which(name, path=str(go))
    return Path(found) if found else None


def need_program(name: str) -> Path:
    """The program; skips the test, saying how to get it, where it is missing."""
    found = find_program(name)
    if found is None:
        pytest.skip(f"{name} is not here: {_HOW[name]}")
    return found
