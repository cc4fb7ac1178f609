"""Models from a prefix in an S3 bucket: named by the checksums that the service keeps, pinned by ETags.

A whole object's sha256 is compared where the service has one, else the MD5 that the ETag of an object sent
in one part is. Of one sent in parts without a sha256 there is nothing to compare but the size.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from registry.errors import InfrastructureError, UsageError
from registry.plain_text import counted
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Checksum
from tasks.progress import StageProgress
from tasks.s3_bucket import Bucket
from tasks.source import Listing, SourceFile, check_revision, content_commit, worth_reading
from tasks.source_address import not_an_address

OWN_SHA256 = "headgate-sha256"
"""The user metadata in which the weights store keeps a file's sha256, in hex."""

_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(\S*))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r'"([0-9a-f]{32})"')
_ASKED_AT_A_TIME = 8
_SHOWN = 5  # subfolders


class S3Source:
    """``s3://BUCKET/PREFIX``: the objects under the prefix, without those of its folders.

    Raises UsageError for a malformed address. Its methods raise UsageError (nothing there, not allowed),
    InfrastructureError (the service; an object that changed since it was listed) or Refused.
    """

    def __init__(self, uri: str, env: Mapping[str, str]) -> None:
        match = _URI.fullmatch(uri)
        if not match:
            raise not_an_address(uri)
        self._uri, self._bucket = uri, Bucket(match[1], env)
        self._prefix = f"{match[2].rstrip('/')}/" if match[2] and match[2].strip("/") else ""

    def resolve(self, revision: str, progress: StageProgress) -> Listing:
        """What is under the prefix now."""
        where = f"{self._bucket!r}/{self._prefix}".rstrip("/")
        found = self._found()
        if not found:
            raise self._nothing(where)
        wanted = worth_reading(list(found), where)
        progress(f"{where}: {counted(len(found), 'object')}", None)
        with ThreadPoolExecutor(_ASKED_AT_A_TIME) as pool:
            known = dict(zip(sorted(wanted), pool.map(self._known, sorted(wanted)), strict=True))
        files = tuple(known.get(path) or SourceFile(path, size, None) for path, size in found.items())
        commit = content_commit(file for file in files if file.path in known)
        check_revision(revision, commit, where)
        return Listing(self._uri, revision, commit, files, where)

    def pull(self, listing: Listing, file: SourceFile, out: ArrivingFile) -> None:
        """The rest of the object, unless it is another one by now."""
        del listing
        self._bucket.pull(self._prefix + file.path, file.pin, out)

    def _found(self) -> dict[str, int]:
        listed = {
            entry["Key"].removeprefix(self._prefix): entry["Size"]
            for entry in self._bucket.objects(self._prefix)
        }
        return {path: size for path, size in listed.items() if path}  # an empty one stands for the folder

    def _nothing(self, where: str) -> UsageError:
        below = islice(self._bucket.folders(self._prefix), _SHOWN + 1)
        folders = [prefix.removesuffix("/") for prefix in below]
        if not folders:
            return UsageError(
                f"There is nothing at {where}", next_step="correct model.uri: s3://BUCKET/PREFIX"
            )
        more = ", ..." if len(folders) > _SHOWN else ""
        return UsageError(
            f"There is no file at {where} itself",
            why=f"a model is taken without its subfolders, and there are {', '.join(folders[:_SHOWN])}{more}",
            next_step=f"name one of them in model.uri: {self._bucket!r}/{folders[0]}",
        )

    def _known(self, path: str) -> SourceFile:
        head = self._bucket.head(self._prefix + path)
        if head is None:
            raise InfrastructureError(
                f"{self._bucket!r}/{self._prefix}{path} went away while the model was looked at",
                next_step="run the same command again to take what is there now",
            )
        return SourceFile(path, head["ContentLength"], self._checksum(head), pin=head.get("ETag", ""))

    def _checksum(self, head: Mapping[str, Any]) -> Checksum | None:
        own = head.get("Metadata", {}).get(OWN_SHA256, "")
        if _SHA256.fullmatch(own):
            return Checksum("sha256", own)
        if head.get("ChecksumType") == "FULL_OBJECT" and (sha256 := head.get("ChecksumSHA256")):
            return Checksum("sha256", base64.b64decode(sha256).hex())
        # Encrypted with keys of one's own, and in directory buckets, an ETag only looks like an MD5.
        scheme = str(head.get("ServerSideEncryption", ""))
        encrypted = head.get("SSECustomerAlgorithm") or scheme.startswith("aws:kms")
        md5 = _MD5.fullmatch(head.get("ETag", ""))
        return Checksum("md5", md5[1]) if md5 and not encrypted and not self._is_directory() else None

    def _is_directory(self) -> bool:
        return self._bucket.name.endswith("--x-s3")
