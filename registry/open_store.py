"""Which store a registry is in: a folder or an S3 bucket, by the form of its address.

``HEADGATE_STORE`` unset is the home's own folder. Credentials, region and a service that is not
Amazon's are given as for every boto3 program: ``AWS_PROFILE``, ``AWS_REGION``, ``AWS_ENDPOINT_URL_S3``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from registry.dir_store import DirStore
from registry.errors import UsageError
from registry.home import Home
from registry.log_memory import LogMemory, RememberedStore
from registry.store import Store, is_key

VARIABLE = "HEADGATE_STORE"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LONGEST_PREFIX = 100  # what S3's 1024 bytes leave beside the longest key of a store


def open_store(env: Mapping[str, str], home: Home, address: str | None = None) -> Store:
    """The store of this address, else of HEADGATE_STORE, else the home's; touches neither disk nor network.

    An address is a folder's path or ``s3://bucket/prefix``. Raises UsageError for anything else.
    """
    address = address or env.get(VARIABLE)
    if not address:
        return DirStore(home.store)
    scheme, colon, rest = address.partition(":")
    if not colon or "/" in scheme:
        return DirStore(Path(address).expanduser().absolute())
    bucket, _, prefix = rest.removeprefix("//").strip("/").partition("/")
    if scheme != "s3" or not rest.startswith("//"):
        raise _not_a_store(address, _meant(scheme.lower(), bucket, prefix))
    if not _BUCKET.fullmatch(bucket):
        raise _not_a_store(address, f"{bucket!r} is no bucket's name (3 to 63 of a-z, 0-9, '.', '-')")
    if prefix and (not is_key(prefix) or len(prefix) > _LONGEST_PREFIX):
        raise _not_a_store(address, f"{prefix!r} is no prefix (up to 100 of a-z, 0-9, '.', '_', '-', '/')")
    from registry.s3_store import S3Store, s3_client  # noqa: PLC0415 - boto3: a fifth of a second

    return S3Store(s3_client(_endpoint(env) or None), bucket, prefix)


def open_registry(env: Mapping[str, str], home: Home) -> RememberedStore:
    """The store of HEADGATE_STORE, else the home's, with what this home has seen of the alias logs in it.

    Each address is remembered for itself. Raises UsageError as ``open_store``.
    """
    folder = home.seen / _identity(env, home)
    return RememberedStore(open_store(env, home), LogMemory(DirStore(folder), str(folder)))


def _identity(env: Mapping[str, str], home: Home) -> str:
    address = env.get(VARIABLE)
    if not address:
        return "home"
    if address.startswith("s3:"):
        address = f"{address.rstrip('/')} {_endpoint(env)}"
    else:
        path = Path(address).expanduser().absolute()
        if path == home.store:
            return "home"
        address = str(path)
    return hashlib.sha256(address.encode()).hexdigest()[:16]


def _endpoint(env: Mapping[str, str]) -> str:
    return env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or ""


def _meant(scheme: str, first: str, rest: str) -> str:
    if scheme in {"http", "https"}:
        return f"did you mean s3://{rest or 'BUCKET'} with AWS_ENDPOINT_URL_S3={scheme}://{first}?"
    if scheme == "file":
        return f"did you mean /{first}/{rest}?"
    return f"did you mean s3://{first}/{rest}?".replace("/?", "?")


def _not_a_store(address: str, why: str) -> UsageError:
    return UsageError(
        f"{address!r} names no store",
        why=why,
        next_step=f"set {VARIABLE} to a folder, or to s3://BUCKET/PREFIX",
    )
