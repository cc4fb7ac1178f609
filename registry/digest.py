"""Content addresses: a sha256 Digest that parses, prints and compares, and canonical JSON to take it of."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATTERN = re.compile(r"sha256:([0-9a-f]{64})")
_READ_SIZE = 1 << 20  # 1 MiB: larger buffers fall out of the processor's cache and hash slower


@dataclass(frozen=True, order=True)
class Digest:
    """A sha256 content address, as OCI writes it. ``Digest.parse(str(d)) == d``."""

    hex: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.hex):
            raise ValueError(f"not a sha256 in lower-case hex: {self.hex!r}")

    def __str__(self) -> str:
        return f"sha256:{self.hex}"

    @property
    def short(self) -> str:
        """The first twelve hex digits, for people."""
        return self.hex[:12]

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``sha256:<64 hex>``; raises ValueError on anything else."""
        match = _PATTERN.fullmatch(text)
        if not match:
            raise ValueError(f"not a digest (sha256:<64 hex>): {text!r}")
        return cls(match[1])

    @classmethod
    def of_bytes(cls, data: bytes) -> Digest:
        """The digest of these bytes."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_json(cls, value: Any) -> Digest:
        """The digest of a JSON value in canonical form."""
        return cls.of_bytes(canonical_json(value))

    @classmethod
    def of_file(cls, path: Path) -> Digest:
        """The digest of a file's content; raises OSError."""
        hasher = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_READ_SIZE):
                hasher.update(chunk)
        return cls(hasher.hexdigest())


def canonical_json(value: Any) -> bytes:
    """One byte string per JSON value: sorted keys, no spaces, UTF-8, no NaN (ValueError)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()
