"""One file to one object: large ones in parts, each with its sha256; what an interrupted run sent is kept.

The service compares every part with the sha256 sent along, where it can. The whole file is compared with its
digest as it is read, and the object is looked at in the end: a damaged file is never passed on as a good one.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.digest import Digest
from registry.errors import HeadgateError, InfrastructureError
from registry.s3_errors import FAILURES
from tasks.s3_bucket import Bucket, is_ended
from tasks.s3_source import OWN_SHA256

PART = 64 << 20  # bytes; four of them are in memory at a time
_AT_A_TIME = 4
_MOST_PARTS = 10_000
_ATTEMPTS = 4  # of an upload that somebody ended meanwhile
_LOOKS = (0.0, 0.5, 2.0)  # seconds before each: another run may be completing the same object


@dataclass(frozen=True)
class Upload:
    """A file of ``size`` bytes on its way to ``key``. ``heard`` is told of bytes that are there."""

    bucket: Bucket
    key: str
    path: Path
    digest: Digest
    size: int
    heard: Callable[[int], None]
    least_part: int = PART

    def run(self) -> None:
        """Send it, unless it is there whole. Raises InfrastructureError or UsageError."""
        if self.is_there():
            self.heard(self.size)
            return
        for _ in range(_ATTEMPTS):
            try:
                parts = self._in_parts() if self.size > self.least_part else self._at_once()
                self._check(parts)
            except FAILURES as problem:
                # Another run completed the same upload, or the bucket's rules ended it.
                if not is_ended(problem):
                    raise
                if self.is_there():
                    return
            else:
                return
        raise InfrastructureError(
            f"{self._where} could not be uploaded",
            why=f"the upload was ended by somebody else, {_ATTEMPTS} times",
            next_step="look whether a rule of the bucket ends uploads early, and run the same command again",
        )

    def is_there(self) -> bool:
        """Whether the object is this file, by its size and the sha256 that we sent with it."""
        head = self.bucket.head(self.key)
        if head is None:
            return False
        return bool(
            head["ContentLength"] == self.size and head["Metadata"].get(OWN_SHA256) == self.digest.hex
        )

    def _at_once(self) -> list[bytes]:
        data = self.path.read_bytes()
        self._insist(Digest.of_bytes(data))
        sha256 = hashlib.sha256(data).digest()
        request = {"Key": self.key, "Body": data, "ChecksumSHA256": _base64(sha256), "Metadata": self._marks}
        self.bucket.ask(f"write {self.key}", self.bucket.client.put_object, **request)
        self.heard(len(data))
        return []

    def _in_parts(self) -> list[bytes]:
        """Send what is not there yet; returns the sha256 of each part."""
        upload = self._open()
        sent = self._sent(upload)
        whole, parts = hashlib.sha256(), []
        pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="upload")
        waiting: deque[Future[dict[str, Any]]] = deque()
        try:
            for number, data in enumerate(self._read(), 1):
                whole.update(data)
                waiting.append(pool.submit(self._part, upload, number, data, sent.get(number)))
                if len(waiting) == _AT_A_TIME:
                    parts.append(waiting.popleft().result())
            parts += [work.result() for work in waiting]
        finally:
            pool.shutdown(cancel_futures=True)
        found = Digest(whole.hexdigest())
        if found == self.digest:
            self._finish(upload, parts)
        self._end_open()
        self._insist(found)
        return [base64.b64decode(part["ChecksumSHA256"]) for part in parts]

    def _finish(self, upload: str, parts: list[dict[str, Any]]) -> None:
        request = {"Key": self.key, "UploadId": upload, "MultipartUpload": {"Parts": parts}}
        try:
            self.bucket.ask(f"finish {self.key}", self.bucket.client.complete_multipart_upload, **request)
        except InfrastructureError:
            # versitygw answers 500 as long as another run is completing the same upload.
            if not self._is_there_soon():
                raise

    def _is_there_soon(self) -> bool:
        for pause in _LOOKS:
            time.sleep(pause)
            if self.is_there():
                return True
        return False

    def _part(self, upload: str, number: int, data: bytes, sent: dict[str, Any] | None) -> dict[str, Any]:
        sha256 = _base64(hashlib.sha256(data).digest())
        if sent is None or not _is(sent, data, sha256):
            request = {"Key": self.key, "UploadId": upload, "PartNumber": number}
            sent = self.bucket.ask(
                f"write part {number} of {self.key}",
                self.bucket.client.upload_part,
                **request,
                Body=data,
                ChecksumSHA256=sha256,
            )
        self.heard(len(data))
        return {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": sha256}

    def _open(self) -> str:
        """The newest upload of this file that was interrupted, or a new one."""
        if open_ := self._listed():
            return str(max(open_, key=lambda upload: upload["Initiated"])["UploadId"])
        request = {"Key": self.key, "ChecksumAlgorithm": "SHA256", "Metadata": self._marks}
        begun = self.bucket.ask(f"begin {self.key}", self.bucket.client.create_multipart_upload, **request)
        return str(begun["UploadId"])

    def _end_open(self) -> None:
        """End what is still open for this key: it is paid for, and another run finds the whole object."""
        with suppress(HeadgateError):  # ended by the bucket's rules, or garbage collection, later
            for upload in self._listed():
                self.bucket.abort(self.key, upload["UploadId"])

    def _listed(self) -> list[dict[str, Any]]:
        return [upload for upload in self.bucket.uploads(self.key) if upload["Key"] == self.key]

    def _sent(self, upload: str) -> dict[int, dict[str, Any]]:
        return {part["PartNumber"]: part for part in self.bucket.parts(self.key, upload)}

    def _read(self) -> Iterator[bytes]:
        size = max(self.least_part, -(-self.size // _MOST_PARTS))
        with self.path.open("rb", buffering=0) as file:
            while data := file.read(size):
                yield data

    def _check(self, parts: list[bytes]) -> None:
        """Look at the object: it has the size, and the checksum where the service keeps one."""
        whole = _base64(hashlib.sha256(b"".join(parts)).digest() if parts else bytes.fromhex(self.digest.hex))
        for pause in _LOOKS:
            time.sleep(pause)
            head = self.bucket.head(self.key) or {}
            found = head.get("ChecksumSHA256", whole).partition("-")[0]
            if head.get("ContentLength") == self.size and found == whole:
                return
        raise InfrastructureError(
            f"{self._where} is not what was uploaded",
            why=f"the service has {head.get('ContentLength', 0)} of {self.size} bytes, checksum {found}",
            next_step="run the same command again; if it stays so, the service or a proxy is broken",
        )

    def _insist(self, found: Digest) -> None:
        if found != self.digest:
            raise InfrastructureError(
                f"{self.path} is damaged, and was not uploaded",
                why=f"its content has the digest {found}",
                next_step="remove it, and release again from the source: it is fetched or made once more",
            )

    @property
    def _marks(self) -> dict[str, str]:
        return {OWN_SHA256: self.digest.hex}

    @property
    def _where(self) -> str:
        return f"{self.bucket!r}/{self.key}"


def _is(sent: dict[str, Any], data: bytes, sha256: str) -> bool:
    """Whether a part that is there is this one, by the best checksum that the service lists."""
    if sent["Size"] != len(data):
        return False
    if "ChecksumSHA256" in sent:
        return bool(sent["ChecksumSHA256"] == sha256)
    return bool(sent["ETag"].strip('"') == hashlib.md5(data, usedforsecurity=False).hexdigest())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
