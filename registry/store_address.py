"""What the address of a store says: a folder, or a prefix in an S3 bucket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from registry.errors import UsageError
from registry.store import is_key

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LONGEST_PREFIX = 100  # what S3's 1024 bytes leave beside the longest key of a store


@dataclass(frozen=True)
class Address:
    """A folder, absolute; or, where there is none, what begins with ``prefix`` in ``bucket``."""

    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""

    def holds(self, other: Address) -> bool:
        """Whether the other is this one, or inside it; of folders, whatever links lead there."""
        if self.folder and other.folder:
            return other.folder.resolve().is_relative_to(self.folder.resolve())
        inside = PurePosixPath(other.prefix).is_relative_to(self.prefix)
        return not self.folder and self.bucket == other.bucket and inside

    def __str__(self) -> str:
        return str(self.folder or f"s3://{self.bucket}/{self.prefix}".rstrip("/"))


def parse_address(text: str) -> Address:
    """The address in a folder's path or in ``s3://bucket/prefix``; UsageError for anything else."""
    scheme, colon, rest = text.partition(":")
    if text and (not colon or "/" in scheme):
        return Address(folder=Path(text).expanduser().absolute())
    bucket, _, prefix = rest.removeprefix("//").strip("/").partition("/")
    if scheme != "s3" or not rest.startswith("//"):
        raise _not_a_store(text, _meant(scheme.lower(), bucket, prefix) if text else "it is empty")
    if not _BUCKET.fullmatch(bucket):
        raise _not_a_store(text, f"{bucket!r} is no bucket's name (3 to 63 of a-z, 0-9, '.', '-')")
    if prefix and (not is_key(prefix) or len(prefix) > _LONGEST_PREFIX):
        raise _not_a_store(text, f"{prefix!r} is no prefix (up to 100 of a-z, 0-9, '.', '_', '-', '/')")
    return Address(bucket=bucket, prefix=prefix)


def _meant(scheme: str, first: str, rest: str) -> str:
    if scheme in {"http", "https"}:
        return f"did you mean s3://{rest or 'BUCKET'} with AWS_ENDPOINT_URL_S3={scheme}://{first}?"
    if scheme == "file":
        return f"did you mean /{first}/{rest}?"
    return f"did you mean s3://{first}/{rest}?".replace("/?", "?")


def _not_a_store(text: str, why: str) -> UsageError:
    next_step = "a store is a folder, or s3://BUCKET/PREFIX; HEADGATE_STORE names the registry's"
    return UsageError(f"{text!r} names no store", why=why, next_step=next_step)
