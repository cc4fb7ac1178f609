"""Which source an address names."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.folder_source import FolderSource
from tasks.hub_source import HubSource
from tasks.oci_source import OciSource
from tasks.s3_source import S3Source
from tasks.source import Source
from tasks.source_address import not_an_address, scheme_of


def find_source(uri: str, env: Mapping[str, str], token: str | None) -> Source:
    """The source of an address (``source_address.FORMS``); ``token`` opens what a hub has gated or private.

    Raises UsageError for an address that no source knows.
    """
    match scheme_of(uri):
        case "hf":
            return HubSource(uri, endpoint=env.get("HF_ENDPOINT"), token=token)
        case "s3":
            return S3Source(uri, env)
        case "oci":
            return OciSource(uri, env)
        case "file":
            return FolderSource(uri)
    raise not_an_address(uri)
