"""A bucket of large objects: what it holds, and their bytes, however often the service fails in between.

Records are ``registry.s3_store``'s, where a lost answer must be understood; here every request may be
repeated.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from registry.errors import HeadgateError, InfrastructureError
from registry.s3_errors import FAILURES, code_of, explained, is_damaged, is_passing
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Damaged

_T = TypeVar("_T")
_PAUSES = (0.2, 1.0, 3.0, 6.0)  # seconds between attempts of which none brought anything
_ANSWER_S = 30  # to put a large object together takes a service a while
_READ_SIZE = 1 << 20
_GONE = {"NoSuchKey", "404", "NotFound"}
_OTHER = {"PreconditionFailed", "412"}
_NO_RANGE = {"InvalidRange", "416"}


class Bucket:
    """One bucket of the service that ``AWS_ENDPOINT_URL_S3`` names, else Amazon's.

    Its methods raise UsageError for what is not there or not allowed, InfrastructureError for a service that
    stays away, busy or wrong.
    """

    def __init__(
        self, name: str, env: Mapping[str, str], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        from registry.s3_store import s3_client  # noqa: PLC0415 - boto3: a fifth of a second

        endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
        self.name, self.client, self._sleep = name, s3_client(endpoint or None, answer_s=_ANSWER_S), sleep

    def __repr__(self) -> str:
        return f"s3://{self.name}"

    def ask(self, doing: str, call: Callable[..., _T], **request: Any) -> _T:
        """The answer of a client's method, asked again while waiting helps; ``doing`` is for the error.

        Raises what the client did for an answer that the caller may understand (``is_gone``, ``is_ended``).
        """
        for pause in (*_PAUSES, None):
            try:
                return call(Bucket=self.name, **request)
            except FAILURES as problem:
                if is_gone(problem) or is_ended(problem):
                    raise
                if pause is None or not is_passing(problem):
                    raise explained(problem, doing, repr(self)) from problem
                self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def objects(self, prefix: str, *, deep: bool = False) -> Iterator[dict[str, Any]]:
        """The objects under a prefix as S3 lists them; ``deep``: also those of its folders."""
        for page in self._pages({"Prefix": prefix} | ({} if deep else {"Delimiter": "/"})):
            yield from page.get("Contents", ())

    def folders(self, prefix: str) -> Iterator[str]:
        """What the keys of a prefix's folders begin with."""
        for page in self._pages({"Prefix": prefix, "Delimiter": "/"}):
            yield from (folder["Prefix"] for folder in page.get("CommonPrefixes", ()))

    def _pages(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        doing = f"list {request['Prefix'] or 'what is there'}"
        while True:
            page = self.ask(doing, self.client.list_objects_v2, **request)
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def head(self, key: str) -> dict[str, Any] | None:
        """What the service knows of an object, checksums included, or None."""
        try:
            request = {"Key": key, "ChecksumMode": "ENABLED"}
            found: dict[str, Any] = self.ask(f"look at {key}", self.client.head_object, **request)
        except FAILURES as problem:
            if is_gone(problem):
                return None
            raise
        return found

    def get(self, key: str) -> bytes | None:
        """The bytes of a small object, or None."""

        def read(**request: Any) -> bytes:
            data: bytes = self.client.get_object(**request)["Body"].read()
            return data

        try:
            return self.ask(f"read {key}", read, Key=key)
        except FAILURES as problem:
            if is_gone(problem):
                return None
            raise

    def delete(self, key: str, etag: str = "") -> bool:
        """Have an object gone, if it has this ETag (empty: any); False when there is another one by now."""
        if etag and (self.head(key) or {"ETag": etag})["ETag"] != etag:
            return False  # not every service heeds the condition below

        def remove(**request: Any) -> bool:
            try:
                self.client.delete_object(**request)
            except FAILURES as problem:
                if code_of(problem) in _OTHER:
                    return False
                if not is_gone(problem):
                    raise
            return True

        return self.ask(f"remove {key}", remove, Key=key, **({"IfMatch": etag} if etag else {}))

    def uploads(self, prefix: str) -> Iterator[dict[str, Any]]:
        """The uploads in parts that were begun under a prefix and not finished, as S3 lists them."""
        request: dict[str, Any] = {"Prefix": prefix}
        while True:
            page = self.ask(f"list uploads of {prefix}", self.client.list_multipart_uploads, **request)
            yield from page.get("Uploads", ())
            if not page.get("IsTruncated"):
                return
            request |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def parts(self, key: str, upload: str) -> Iterator[dict[str, Any]]:
        """The parts of an upload that arrived, as S3 lists them; what the client raises when it has ended."""
        request: dict[str, Any] = {"Key": key, "UploadId": upload}
        while True:
            page = self.ask(f"list the parts of {key}", self.client.list_parts, **request)
            yield from page.get("Parts", ())
            if not page.get("IsTruncated"):
                return
            request["PartNumberMarker"] = page["NextPartNumberMarker"]

    def abort(self, key: str, upload: str) -> None:
        """End an upload, and have its parts gone."""
        with suppress(*FAILURES):  # the one that gets here: it has ended
            self.ask(f"end {key}", self.client.abort_multipart_upload, Key=key, UploadId=upload)

    def pull(self, key: str, etag: str, out: ArrivingFile) -> None:
        """Write the rest of the object that has this ETag (empty: any); asked again as long as bytes come.

        Raises InfrastructureError when there is another object under the key, or none, and Damaged when what
        came is not what the service says it keeps.
        """
        failed = 0
        while True:
            before = out.tell()
            try:
                self._pull_once(key, etag, out)
            except FAILURES as problem:
                if code_of(problem) in {*_OTHER, *_GONE}:
                    raise _changed(f"{self!r}/{key}", problem) from problem
                if is_damaged(problem):
                    raise _damaged(problem) from problem
                failed = failed + 1 if out.tell() <= before else 1
                if code_of(problem) in _NO_RANGE and before:
                    out.restart()  # the half that is here is of something else
                elif failed > len(_PAUSES) or not is_passing(problem):
                    raise explained(problem, f"read {key}", repr(self)) from problem
                else:
                    self._sleep(_PAUSES[failed - 1])
            else:
                return

    def _pull_once(self, key: str, etag: str, out: ArrivingFile) -> None:
        rest = {"Range": f"bytes={out.tell()}-"} if out.tell() else {}
        pinned = {"IfMatch": etag} if etag else {}
        answer = self.client.get_object(Bucket=self.name, Key=key, **pinned, **rest)
        if rest and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
            out.restart()  # it knows no ranges, and sends everything
        for chunk in answer["Body"].iter_chunks(_READ_SIZE):
            out.write(chunk)


def is_gone(problem: Exception) -> bool:
    """Whether the service says that there is no such object."""
    return code_of(problem) in _GONE


def is_ended(problem: Exception) -> bool:
    """Whether an upload in parts, or a part of it, is not there any more: somebody finished or ended it."""
    return code_of(problem) in {"NoSuchUpload", "InvalidPart"}


def _damaged(problem: Exception) -> Damaged:
    said = re.findall(r"checksum:? (\S+)", str(problem))  # the client's sentence names both, in base64
    expected, found = said if len(said) == 2 else ("what the service says", "something else")
    return Damaged(f"the checksum {expected}", f"the checksum {found}")


def _changed(what: str, problem: Exception) -> HeadgateError:
    now = "it is gone" if is_gone(problem) else "it is another one now"
    return InfrastructureError(
        f"{what} changed while it was fetched",
        why=f"the object was listed, and {now}",
        next_step="run the same command again to take what is there now",
    )
