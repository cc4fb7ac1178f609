"""Opens the private key somebody names: in a PEM file, in a variable that holds the PEM, in a key service."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from registry.atomic import cannot_read
from registry.bundle import Signer
from registry.errors import UsageError
from registry.key_ring import make_trusted
from registry.signing import KeySigner
from registry.validation import did_you_mean

KEY_VARIABLE, PASSPHRASE_VARIABLE = "HEADGATE_SIGNING_KEY", "HEADGATE_KEY_PASSPHRASE"
SERVICES = ("awskms", "gcpkms", "azurekms")
"""The schemes of key services, as securesystemslib names them."""

_FROM_VARIABLE = "env"
_LONGEST_KEY = 64 << 10  # bytes; a key file has a few hundred


def key_variables(env: Mapping[str, str]) -> set[str]:
    """The environment variables that give away a signing key: nothing but signing may see them."""
    scheme, _, name = env.get(KEY_VARIABLE, "").partition(":")
    return {PASSPHRASE_VARIABLE, name} if scheme == _FROM_VARIABLE else {PASSPHRASE_VARIABLE}


def open_named(named: str, env: Mapping[str, str], kept: Path) -> Signer:
    """The key that HEADGATE_SIGNING_KEY names; ``kept`` is as in ``open_service``.

    Raises UsageError or InfrastructureError, and never repeats what a key holds.
    """
    scheme, colon, rest = named.partition(":")
    if scheme == _FROM_VARIABLE and colon:
        if not env.get(rest):
            why = f"the environment variable {rest} is not set"
            raise UsageError(f"The signing key {named} cannot be read", why=why)
        return _from_pem(env[rest].encode(), env, named)
    if scheme in SERVICES and colon:
        return open_service(named, kept)
    if colon and not Path(named).exists() and "/" not in scheme:
        known = did_you_mean(scheme, [*SERVICES, _FROM_VARIABLE])
        raise UsageError(f"{KEY_VARIABLE} is {named!r}, neither a file nor a service's URI", why=known)
    return open_file(Path(named).expanduser(), env)


def open_file(path: Path, env: Mapping[str, str]) -> Signer:
    """The key in a PEM file; UsageError or InfrastructureError when it cannot be used."""
    return _from_pem(_read_secret(path), env, str(path))


def open_service(named: str | None, kept: Path) -> Signer:
    """The key in a service whose URI and public half ``kept`` holds; it must be the one that is named."""
    from registry.kms_signer import KmsSigner  # noqa: PLC0415 - brings boto3, which few homes need

    uri, _, pem = _read(kept).partition("\n") if kept.exists() else ("", "", "")
    if named not in {None, uri}:
        why = f"{kept.parent} keeps that of {uri}" if uri else f"it is not in {kept.parent}"
        next_step = f"run `headgate keys {'rotate' if uri else 'init'} --from {named}` once"
        raise UsageError(f"The public half of {named} is not known", why=why, next_step=next_step)
    return KmsSigner(uri, make_trusted("signing-key", pem))


def _from_pem(pem: bytes, env: Mapping[str, str], named: str) -> KeySigner:
    encrypted = b"ENCRYPTED" in pem
    if encrypted and not env.get(PASSPHRASE_VARIABLE):
        next_step = f"put it into {PASSPHRASE_VARIABLE}"
        raise UsageError(f"The signing key {named} needs its passphrase", next_step=next_step)
    try:
        return KeySigner.from_pem(pem, env.get(PASSPHRASE_VARIABLE) if encrypted else None)
    except ValueError as problem:
        raise UsageError(f"The signing key {named} cannot be used", why=str(problem)) from problem


def _read_secret(path: Path) -> bytes:
    """A private key's file; refused, as ssh does, when it is ours and others may read it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_LONGEST_KEY)
    except FileNotFoundError:
        next_step = f"check {KEY_VARIABLE}; without it the home's own key signs"
        raise UsageError(f"There is no signing key at {path}", next_step=next_step) from None
    except OSError as problem:
        raise cannot_read(path, problem) from problem
    ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid()
    if ours and status.st_mode & 0o077:
        why = f"others may read it (mode {stat.S_IMODE(status.st_mode):04o})"
        next_step = f"run `chmod 600 {path}`, or rotate the key if somebody may have read it"
        raise UsageError(f"The signing key {path} is not used", why=why, next_step=next_step)
    return data


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as problem:
        raise cannot_read(path, problem) from problem
    except UnicodeDecodeError as problem:
        raise UsageError(f"{path} is not a public key", why="it is not text") from problem
