"""A vulnerability database for the real Trivy, made of a few planted vulnerabilities.

Trivy keeps its database in a bbolt file: https://github.com/etcd-io/bbolt, pages as in ``page.go`` and
``meta.go``. Only what one read-only opening needs is written: two meta pages, an empty free list, and
one leaf page per bucket.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

Bucket: TypeAlias = Mapping[str, "bytes | Bucket"]

_PAGE = 4096
_LEAF, _META, _FREE_LIST = 0x02, 0x04, 0x10
_SUB_BUCKET = 0x01
_SOURCE = "pip::GitHub Security Advisory Pip"


@dataclass(frozen=True)
class Planted:
    """A vulnerability of a Python package: every version below ``fixed``, or all when there is no fix."""

    id: str
    package: str
    severity: int = 4  # 1 low ... 4 critical
    fixed: str = ""


def write_database(cache: Path, planted: list[Planted], updated_at: datetime) -> None:
    """Write ``db/trivy.db`` and ``db/metadata.json`` into a cache folder of Trivy's."""
    folder = cache / "db"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trivy.db").write_bytes(bbolt_file(_tree(planted)))
    time = updated_at.isoformat()
    times = {"NextUpdate": "2199-01-01T00:00:00Z", "UpdatedAt": time, "DownloadedAt": time}
    (folder / "metadata.json").write_text(json.dumps({"Version": 2, **times}))


def bbolt_file(root: Bucket) -> bytes:
    """A bbolt file of these nested buckets, each small enough for one leaf page (with overflow)."""
    pages: dict[int, bytes] = {}
    root_page = _add_bucket(root, pages)
    end = max(number + len(page) // _PAGE for number, page in pages.items())
    head = [_meta(0, root_page, end), _meta(1, root_page, end), _page_header(2, _FREE_LIST, 0, 0)]
    body = [part.ljust(_PAGE, b"\0") for part in head]
    return b"".join(body + [pages[number] for number in sorted(pages)])


def _add_bucket(bucket: Bucket, pages: dict[int, bytes]) -> int:
    items: list[tuple[int, bytes, bytes]] = []
    for key in sorted(bucket, key=str.encode):
        value = bucket[key]
        if isinstance(value, bytes):
            items.append((0, key.encode(), value))
        else:
            items.append((_SUB_BUCKET, key.encode(), struct.pack("<QQ", _add_bucket(value, pages), 0)))
    number = 3 + sum(len(page) for page in pages.values()) // _PAGE
    content = _elements(items)
    extra_pages = (16 + len(content) - 1) // _PAGE
    page = _page_header(number, _LEAF, len(items), extra_pages) + content
    pages[number] = page.ljust((extra_pages + 1) * _PAGE, b"\0")
    return number


def _elements(items: list[tuple[int, bytes, bytes]]) -> bytes:
    table, data = b"", b""
    for index, (flags, key, value) in enumerate(items):
        offset = 16 * (len(items) - index) + len(data)  # from this element to its key
        table += struct.pack("<IIII", flags, offset, len(key), len(value))
        data += key + value
    return table + data


def _page_header(number: int, flags: int, count: int, overflow: int) -> bytes:
    return struct.pack("<QHHI", number, flags, count, overflow)


def _meta(number: int, root_page: int, end: int) -> bytes:
    magic, version, free_list, transaction = 0xED0CDAED, 2, 2, number
    fields = struct.pack("<IIIIQQQQQ", magic, version, _PAGE, 0, root_page, 0, free_list, end, transaction)
    return _page_header(number, _META, 0, 0) + fields + struct.pack("<Q", _fnv1a(fields))


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) % (1 << 64)
    return value


def _tree(planted: list[Planted]) -> Bucket:
    advisories: dict[str, dict[str, bytes]] = {}
    for p in planted:
        affected = {"VulnerableVersions": [f"<{p.fixed}" if p.fixed else ">=0"]}
        patched = {"PatchedVersions": [p.fixed]} if p.fixed else {}
        advisories.setdefault(p.package, {})[p.id] = _json(affected | patched)
    source = {"ID": "ghsa", "Name": "GitHub Security Advisory Pip", "URL": "https://example.invalid"}
    names = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
    details = {
        p.id: _json(
            {"Title": "planted", "Severity": names[p.severity], "VendorSeverity": {"ghsa": p.severity}}
        )
        for p in planted
    }
    return {"data-source": {_SOURCE: _json(source)}, _SOURCE: advisories, "vulnerability": details}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
