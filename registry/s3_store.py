"""A Store in an S3 bucket, for many machines: conditional writes decide, nothing rests on a listing.

A write whose answer was lost may have happened. So every object carries the marks of its latest
writers: who was not answered reads back and finds out, even when others have written since. Needed of
the service: reads that see the last write, ``If-None-Match: *`` and ``If-Match``, user metadata.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from registry.errors import HeadgateError, InfrastructureError
from registry.s3_errors import (
    FAILURES,
    explained,
    is_answer,
    is_folder_clash,
    is_lost,
    is_missing,
    is_passing,
    unusable,
)
from registry.store import check_key, check_prefix, is_key

_T = TypeVar("_T")
_PAUSES = (0.1, 0.3, 1.0, 2.0, 4.0)  # seconds between attempts, each drawn from a half to one and a half
_CONNECT_S, _ANSWER_S = 5, 10
_MARKS = 64  # 13 bytes each: with the key's name well under the 2 KB that S3 allows
_METADATA = "headgate-writers"
_NO_ETAG = f'"{"0" * 32}"'
_PROBE = ".headgate"  # no key of a Store begins with a dot


@dataclass(frozen=True)
class _Found:
    data: bytes
    etag: str
    marks: tuple[str, ...]


def s3_client(endpoint: str | None = None, *, answer_s: float | None = None, **options: Any) -> Any:
    """A client with the credentials boto3 finds, for one thread or many; an ``endpoint`` is a URL.

    ``answer_s`` is how many seconds it waits for an answer; None is as long as records need.
    It tries once: what may be tried again is decided here, where a lost answer is understood. Raises
    UsageError for a profile, a region or an endpoint that boto3 does not take.
    """
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=_CONNECT_S,
        read_timeout=answer_s or _ANSWER_S,
        max_pool_connections=32,
        request_checksum_calculation="when_required",  # several services know no trailing checksums
        s3={"addressing_style": "path"} if endpoint else {},
    )
    try:
        return boto3.session.Session().client("s3", endpoint_url=endpoint, config=config, **options)
    except (BotoCoreError, ValueError) as problem:
        raise unusable(problem) from problem


class S3Store:
    """Store over the objects of a bucket under a prefix such as ``team/registry``, or none.

    A value that is swapped should differ from every earlier one (ours count), as S3 compares content.
    Raises UsageError for a bucket that is not there and for what the credentials do not allow,
    InfrastructureError for a service that cannot do conditional writes, stays busy for some 10 s, or is
    silent for a minute.
    """

    def __init__(
        self, client: Any, bucket: str, prefix: str = "", sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client, self._bucket, self._sleep = client, bucket, sleep
        self._root = f"{check_key(prefix)}/" if prefix else ""
        self._conditions_hold = cache(self._probe)

    def __repr__(self) -> str:
        return f"s3://{self._bucket}/{self._root}".rstrip("/")

    def get(self, key: str) -> bytes | None:
        """The value, or None when there is none."""
        found = self._read(key)
        return found.data if found else None

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the value unless the key has one; returns whether it was written."""
        check_key(key)
        return self._write(key, None, data)

    def compare_and_swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Write ``new`` if the value is ``expected`` (None: absent); returns whether it was written."""
        if expected is None:
            return self.put_if_absent(key, new)
        found = self._read(key)
        if found is None or found.data != expected:
            return False
        return new == expected or self._write(key, found, new)

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with these characters, sorted."""
        found: list[str] = []
        request: dict[str, Any] = {"Prefix": self._root + check_prefix(prefix)}
        while True:
            page = self._patiently(f"list {prefix or 'the keys'}", self._client.list_objects_v2, **request)
            found += [entry["Key"].removeprefix(self._root) for entry in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return iter(sorted(key for key in found if is_key(key)))
            request["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        """Remove the value; nothing happens when there is none."""
        self._patiently(f"remove {check_key(key)}", self._delete_once, Key=self._root + key)

    def _read(self, key: str) -> _Found | None:
        return self._patiently(f"read {check_key(key)}", self._read_once, Key=self._root + key)

    def _read_once(self, **request: Any) -> _Found | None:
        try:
            answer = self._client.get_object(**request)
            marks = answer.get("Metadata", {}).get(_METADATA, "")
            return _Found(answer["Body"].read(), answer["ETag"], tuple(marks.split()))
        except FAILURES as problem:
            if is_missing(problem):
                return None
            raise

    def _delete_once(self, **request: Any) -> None:
        try:
            self._client.delete_object(**request)
        except FAILURES as problem:
            if not is_missing(problem):  # Amazon's answers alike whether there was one; not everybody's does
                raise

    def _write(self, key: str, base: _Found | None, new: bytes) -> bool:
        """Put ``new`` in the place of ``base``, trying until it is known whether that happened."""
        self._conditions_hold()
        expected, mark = base.data if base else None, secrets.token_hex(6)
        attempts = _Attempts(self, f"write {key}")
        while True:
            refusal = self._put(key, base, new, mark, attempts)
            if refusal is None:
                return True
            try:
                found = self._read(key)
            except HeadgateError as problem:
                raise (attempts.explained(refusal) if attempts.unanswered else problem) from problem
            if found and mark in found.marks:
                return True
            if attempts.unanswered and _may_hide(base, found):
                raise attempts.explained(refusal)
            if (found.data if found else None) != expected:
                return False
            if is_lost(refusal):
                attempts.wait(refusal)
            base = found

    def _put(
        self, key: str, base: _Found | None, new: bytes, mark: str, attempts: _Attempts
    ) -> Exception | None:
        """Try once; returns why not, after the pause that this calls for."""
        marks = ((base.marks if base else ()) + (mark,))[-_MARKS:]
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._root + key,
                Body=new,
                Metadata={_METADATA: " ".join(marks)},
                **({"IfMatch": base.etag} if base else {"IfNoneMatch": "*"}),
            )
        except FAILURES as problem:
            if is_folder_clash(problem):
                raise ValueError(f"{key!r} is the folder of another key, or lies under one") from problem
            refusal: Exception = problem
        else:
            return None
        attempts.note(refusal)
        if not is_lost(refusal):
            attempts.wait(refusal)
        return refusal

    def _patiently(self, doing: str, call: Callable[..., _T], **request: Any) -> _T:
        attempts = _Attempts(self, doing)
        while True:
            try:
                return call(Bucket=self._bucket, **request)
            except FAILURES as problem:
                attempts.wait(problem)

    def _probe(self) -> None:
        """Two writers of one object must not both be told that they won: some services ignore conditions."""
        created = self._probed(IfNoneMatch="*")
        if (created and self._probed(IfNoneMatch="*")) or self._probed(IfMatch=_NO_ETAG):
            raise InfrastructureError(
                f"{self!r} cannot hold a registry",
                why="the service answers conditional writes, and ignores their conditions",
                next_step="use a service that does If-None-Match and If-Match: Amazon S3, MinIO, versitygw",
            )

    def _probed(self, **condition: str) -> bool:
        def put(**request: str) -> bool:
            try:
                self._client.put_object(**request)
            except FAILURES as problem:
                if is_lost(problem):
                    return False
                raise
            return True

        return self._patiently("write", put, Key=self._root + _PROBE, **condition)


class _Attempts:
    """How long one operation is tried."""

    def __init__(self, store: S3Store, doing: str) -> None:
        self._store, self._doing = store, doing
        self._pauses = iter(_PAUSES)
        self.unanswered = False

    def note(self, problem: Exception) -> None:
        """Remember whether an attempt may have been carried out."""
        self.unanswered = self.unanswered or not is_answer(problem)

    def wait(self, problem: Exception) -> None:
        """Pause, longer each time; raises HeadgateError when that does not help, or not any more."""
        pause = next(self._pauses, None) if is_passing(problem) or is_lost(problem) else None
        if pause is None:
            raise self.explained(problem) from problem
        self._store._sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads the crowd

    def explained(self, problem: Exception) -> HeadgateError:
        """The error to end with."""
        doing = f"tell whether it could {self._doing}" if self.unanswered else self._doing
        return explained(problem, doing, repr(self._store))


def _may_hide(base: _Found | None, found: _Found | None) -> bool:
    """Whether a write after ``base`` could have come and gone without leaving its mark in ``found``."""
    if found is None:
        return base is not None
    if base and base.marks:
        return base.marks[-1] not in found.marks
    return len(found.marks) >= _MARKS
