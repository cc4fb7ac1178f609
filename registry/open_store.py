"""Which store a registry is in: a folder or an S3 bucket, by the form of its address.

``HEADGATE_STORE`` unset is the home's own folder. Credentials, region and a service that is not
Amazon's are given as for every boto3 program: ``AWS_PROFILE``, ``AWS_DEFAULT_REGION``,
``AWS_ENDPOINT_URL_S3``.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from registry.atomic import explained, make_folder
from registry.dir_store import DirStore
from registry.home import Home
from registry.log_memory import LogMemory
from registry.remembered_store import RememberedStore
from registry.store import Store
from registry.store_address import Address, parse_address
from registry.store_guard import check_copy, check_folder, check_there

VARIABLE = "HEADGATE_STORE"


def open_store(env: Mapping[str, str], home: Home, address: str | None = None) -> Store:
    """The store of this address, else of HEADGATE_STORE, else the home's; touches neither disk nor network.

    An address is a folder's path or ``s3://bucket/prefix``. Raises UsageError for anything else, and for
    settings that boto3 cannot use.
    """
    return _opened(env, _address(env, home) if address is None else parse_address(address))


def open_ends(env: Mapping[str, str], source: str, target: str) -> tuple[Store, Store]:
    """The stores of both addresses of a copy, in this order.

    Raises UsageError as ``open_store``, when there is no store at the source, something else at the target,
    or one is inside the other.
    """
    ends = parse_address(source), parse_address(target)
    check_copy(*ends)
    here, there = (_opened(env, end) for end in ends)
    return here, there


def open_registry(env: Mapping[str, str], home: Home) -> RememberedStore:
    """The store of HEADGATE_STORE, else the home's, with what this home remembers of it.

    Each registry is remembered for itself, whichever way its address is written: of a folder it is where it
    really is, links followed. Raises UsageError as ``open_store``.
    """
    at = _address(env, home)
    identity, as_written = _identity(env, home, at), _hashed(str(at))
    if at.folder and identity != as_written:
        _move_memory(home, as_written, identity)
    return RememberedStore(_opened(env, at), _logs(home, identity), DirStore(home.objections / identity))


def check_registry(env: Mapping[str, str], home: Home) -> None:
    """UsageError when HEADGATE_STORE names a folder that is not there, or one of other things.

    A mistyped one would be an empty registry, of which garbage collection knows nothing that is live. The
    home's own may begin with its first record.
    """
    folder = store_folder(env, home)
    if folder and not _is_own(folder, home):
        check_there(folder, f"correct {VARIABLE}; `headgate release` and `headgate import` begin a new store")


def begin_registry(env: Mapping[str, str], home: Home) -> Path | None:
    """Make the folder that HEADGATE_STORE names, for what brings versions there; returns it if it was new.

    Raises UsageError when there is something else, InfrastructureError when the disk refuses.
    """
    folder = store_folder(env, home)
    if folder is None or _is_own(folder, home) or folder.is_dir():
        return None
    check_folder(folder, f"correct {VARIABLE}")
    with explained(folder):
        make_folder(folder)
    return folder


def store_folder(env: Mapping[str, str], home: Home) -> Path | None:
    """The folder that the registry is in, or None where it is in a bucket; UsageError as ``open_store``."""
    return _address(env, home).folder


def _opened(env: Mapping[str, str], at: Address) -> Store:
    if at.folder:
        return DirStore(at.folder)
    from registry.s3_store import S3Store, s3_client  # noqa: PLC0415 - boto3: a fifth of a second

    return S3Store(s3_client(_endpoint(env) or None), at.bucket, at.prefix)


def _address(env: Mapping[str, str], home: Home) -> Address:
    address = env.get(VARIABLE)
    return parse_address(address) if address else Address(folder=home.store)


def _is_own(folder: Path, home: Home) -> bool:
    return _really(folder) == _really(home.store)


def _identity(env: Mapping[str, str], home: Home, at: Address) -> str:
    if at.folder is None:
        return _hashed(f"{at} {_endpoint(env)}")
    return "home" if _is_own(at.folder, home) else _hashed(str(_really(at.folder)))


def _really(folder: Path) -> Path:
    with contextlib.suppress(OSError, RuntimeError):  # links that lead in a circle, to nowhere
        return folder.resolve()
    return folder


def _hashed(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:16]


def _logs(home: Home, identity: str) -> LogMemory:
    return LogMemory(DirStore(home.seen / identity), str(home.seen / identity))


def _move_memory(home: Home, old: str, new: str) -> None:
    """Take over what an older Headgate remembered under an address as it was written."""
    before, now = _logs(home, old), _logs(home, new)
    for name, gpu_class in before.places():
        if seen := before.seen(name, gpu_class):
            now.remember(name, gpu_class, seen)
        before.forget(name, gpu_class)
    objections, kept = DirStore(home.objections / old), DirStore(home.objections / new)
    for key in objections.list(""):
        if data := objections.get(key):
            kept.put_if_absent(key, data)
        objections.delete(key)


def _endpoint(env: Mapping[str, str]) -> str:
    return env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or ""
