"""How a model's address is written, whichever source it names. Pure, so that a spec can be read quickly."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from registry.errors import UsageError

ADDRESS = r"^(hf://[^/\s]+/[^/\s]+|s3://[^/\s]+(/\S+)?|oci://[^/\s]+/[^\s]+|file:///.+|\.{0,2}/.+)$"
"""A pattern that every address fits; which part is wrong of one that does, its source says."""

FORMS = "hf://ORG/NAME, s3://BUCKET/PREFIX, oci://REGISTRY/NAME:TAG, or a folder (./FOLDER, /FOLDER, file:///FOLDER)"
"""For people."""


def scheme_of(uri: str) -> str:
    """``hf``, ``s3``, ``oci``, or ``file`` for a path; empty for what is no address."""
    if not re.fullmatch(ADDRESS, uri):
        return ""
    return uri.partition("://")[0] if re.match(r"[a-z0-9]+://", uri) else "file"


def anchored(uri: str, folder: Path) -> str:
    """The address with a path, which counts from ``folder``, made a ``file:///`` one; others as they are."""
    if scheme_of(uri) != "file" or uri.startswith("file:"):
        return uri
    return Path(os.path.realpath(folder / uri)).as_uri()


def folder_of(uri: str) -> Path:
    """The folder of a ``file:///`` address or a path; UsageError for what is neither, or not plain."""
    text = unquote(uri.removeprefix("file://")) if uri.startswith("file:") else uri
    if scheme_of(uri) != "file" or "\0" in text:
        raise not_an_address(uri)
    return Path(text).absolute()


def not_an_address(uri: str) -> UsageError:
    """The error for what no source knows."""
    return UsageError(
        f"{uri!r} is not a model's address", next_step=f"write {FORMS}; the revision has a key of its own"
    )
