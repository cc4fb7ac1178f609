"""Archives of versions, and what somebody on the way could do to one: every digest in it is right again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry.archive import export_version, import_archive
from registry.archive_seal import Exporter
from registry.digest import Digest
from registry.version import ModelVersion
from tests.simulators.released import WHEN, TinyHome


def ignore(_count: int) -> None:
    """Hears nothing."""


def export(
    at: TinyHome, reference: str, folder: Path, heard: Callable[[int], object] = ignore, **changes: Any
) -> ModelVersion:
    """Export a version, signed with the home's key."""
    exporter = Exporter(**{"signer": at.signer, "who": "ada@workshop", "now": WHEN, **changes})
    return export_version(at.held, reference, folder, exporter, heard)


def bring(at: TinyHome, archive: Path) -> list[ModelVersion]:
    """Import an archive."""
    return [arrival.version for arrival in import_archive(at.held, archive, ignore)]


def advised(message: str) -> list[str]:
    """The commands about keys that an error tells people to run."""
    return re.findall(r"`(headgate keys [^`]*)`", message)


def rewrite(archive: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the layers of the one version's manifest in an archive, and let the index name the new one."""
    index = json.loads((archive / "index.json").read_bytes())
    (entry,) = [e for e in index["manifests"] if "artifactType" in e]
    blobs = archive / "blobs" / "sha256"
    manifest = json.loads((blobs / entry["digest"][7:]).read_bytes())
    change(manifest["layers"])
    data = json.dumps(manifest).encode()
    (blobs / Digest.of_bytes(data).hex).write_bytes(data)
    entry |= {"digest": str(Digest.of_bytes(data)), "size": len(data)}
    (archive / "index.json").write_text(json.dumps(index))


def add_blob(archive: Path, data: bytes) -> dict[str, Any]:
    """Put a blob into an archive; returns its descriptor."""
    digest = Digest.of_bytes(data)
    (archive / "blobs" / "sha256" / digest.hex).write_bytes(data)
    return {"mediaType": "application/json", "digest": str(digest), "size": len(data)}
