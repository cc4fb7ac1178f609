"""What a version consists of, as far as it is here: list of files, small configuration files, evidence.

For people who look at versions and compare them; whether the bytes are what they should be is ``verify``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.evidence import Evidence, evidence_about
from registry.manifest import Manifest
from registry.manifests import read_manifest
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion

CONFIGURATION = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "quant_config.json"),
    *("quantize_config.json", "special_tokens_map.json", "tokenizer_config.json"),
    *("chat_template.jinja", "chat_template.json"),
)
"""The files that say how a model behaves, and are small enough to read."""
_LONGEST = 4 << 20  # bytes; a tokenizer's configuration with many added tokens has about one million


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A version with what was found of it. ``texts`` are its configuration files by path.

    ``files`` is None when the list of files is not in the store; ``gone`` names the configuration files
    whose bytes are not on this machine.
    """

    version: ModelVersion
    files: Manifest | None
    texts: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


def read_contents(store: Store, blobs: BlobStore, trust: Trust, version: ModelVersion) -> Contents:
    """What is here of a version; raises InfrastructureError for a damaged manifest or record."""
    files = read_manifest(store, version.weights_manifest)
    wanted = _configuration(files) if files else {}
    here = {path: digest for path, digest in wanted.items() if blobs.has(digest)}
    return Contents(
        version=version,
        files=files,
        texts={path: _text(blobs, digest) for path, digest in here.items()},
        gone=tuple(path for path in wanted if path not in here),
        evidence=tuple(evidence_about(store, version, trust)),
    )


def _configuration(files: Manifest) -> dict[str, Digest]:
    return {path: e.digest for path, e in files.files.items() if path in CONFIGURATION and e.size <= _LONGEST}


def _text(blobs: BlobStore, digest: Digest) -> str:
    with blobs.open(digest) as file:
        return file.read(_LONGEST).decode(errors="replace")
