"""Keys of a home: the one it signs with, and the public ones it trusts.

``HEADGATE_HOME/keys`` holds ``signing.pem`` (a private key, mode 0600, encrypted when there was a passphrase)
or ``signing.pub`` (the public half of a key in a key service, under the service's URI), and ``trusted.yaml``.
A key is trusted before it is first used to sign, so a crash in between leaves a name too many, never evidence
that nobody trusts.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from registry.atomic import cannot_read, exclusive, write_file
from registry.bundle import Signer
from registry.errors import UsageError
from registry.home import Home
from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey
from registry.trust_file import read_trust, write_trust
from registry.validation import did_you_mean

KEY_VARIABLE, PASSPHRASE_VARIABLE = "HEADGATE_SIGNING_KEY", "HEADGATE_KEY_PASSPHRASE"
SERVICES = ("awskms", "gcpkms", "azurekms")
"""The schemes of key services, as securesystemslib names them."""

_FROM_VARIABLE = "env"
_LONGEST_KEY = 64 << 10  # bytes; a key file has a few hundred


def load_trust(home: Home) -> Trust:
    """The keys whose signatures count here; none before the first is made. Raises UsageError."""
    return read_trust(_trusted(home))


def open_signer(
    env: Mapping[str, str], home: Home, announce: Callable[[str], None] = lambda _sentence: None
) -> Signer:
    """The key to sign with: what HEADGATE_SIGNING_KEY names, else the home's own, made on first use.

    The variable holds a path to a PEM file, ``env:NAME`` of a variable that holds the PEM, or the URI of a
    key in a service (``awskms:alias/headgate``). ``announce`` is told, in a sentence, when a key was made,
    or when the one that signs is not trusted here. Raises UsageError or InfrastructureError.
    """
    named = env.get(KEY_VARIABLE)
    if not named and not has_own_key(home):
        with _changing(home):
            if not has_own_key(home):
                made = _make(env, home, None, None)
                announce(f"Made the signing key {made.name} in {home.keys}; it is trusted here.")
    signer = _open(named, env, home) if named else _own(env, home)
    if load_trust(home).find(signer.key_id) is None:
        how = "give what `headgate keys export` prints to `headgate keys trust`"
        announce(
            f"The signing key {signer.key_id[:12]} is not trusted here: its evidence will not count; {how}."
        )
    return signer


def find_signer(env: Mapping[str, str], home: Home) -> Signer | None:
    """The key to sign with, or None before there is one. Raises as ``open_signer`` does."""
    return open_signer(env, home) if env.get(KEY_VARIABLE) or has_own_key(home) else None


def key_variables(env: Mapping[str, str]) -> set[str]:
    """The environment variables that give away a signing key: nothing but signing may see them."""
    scheme, _, name = env.get(KEY_VARIABLE, "").partition(":")
    return {PASSPHRASE_VARIABLE, name} if scheme == _FROM_VARIABLE else {PASSPHRASE_VARIABLE}


def has_own_key(home: Home) -> bool:
    """Whether the home has a key of its own, in a file or in a service."""
    return _private(home).exists() or _public(home).exists()


def init_key(env: Mapping[str, str], home: Home, name: str | None, uri: str | None) -> TrustedKey:
    """Make the home's own key, or take the one at a service's URI. UsageError when the home has one."""
    with _changing(home):
        if has_own_key(home):
            next_step = "run `headgate keys rotate` to replace it; the old key stays trusted"
            raise UsageError(f"There is a signing key in {home.keys} already", next_step=next_step)
        return _make(env, home, name, uri)


def rotate_key(env: Mapping[str, str], home: Home, name: str | None, uri: str | None) -> TrustedKey:
    """Replace the home's own key; the old private key is gone, its public half stays trusted."""
    with _changing(home):
        if not has_own_key(home):
            raise UsageError(f"There is no signing key in {home.keys}", next_step="run `headgate keys init`")
        return _make(env, home, name, uri)


def trust_key(home: Home, key: TrustedKey) -> None:
    """Let this key's signatures count, from now on and for what it signed before. Raises UsageError."""
    with _changing(home):
        _add(home, key)


def distrust_key(home: Home, name: str) -> TrustedKey:
    """Let the signatures of the key of this name count no more; returns it. Raises UsageError."""
    with _changing(home):
        keys = load_trust(home).keys
        found = next((key for key in keys if key.name == name), None)
        if found is None:
            known = did_you_mean(name, [key.name for key in keys])
            raise UsageError(f"No trusted key is named {name!r}", why=known)
        write_trust(_trusted(home), Trust(tuple(key for key in keys if key is not found)))
        return found


def _make(env: Mapping[str, str], home: Home, name: str | None, uri: str | None) -> TrustedKey:
    """The home's own key anew: trusted first, then put in its place."""
    if uri:
        from registry.kms_signer import read_kms_key  # noqa: PLC0415 - brings boto3, which few homes need

        uri, pem = read_kms_key(uri)
        key = _named(env, home, name, pem)
        _add(home, key)
        write_file(_public(home), f"{uri}\n{pem}".encode())
        _private(home).unlink(missing_ok=True)
        return key
    signer = KeySigner.generate()
    key = _named(env, home, name, signer.public_pem)
    _add(home, key)
    write_file(_private(home), signer.to_pem(env.get(PASSPHRASE_VARIABLE)), mode=0o600)
    _public(home).unlink(missing_ok=True)
    return key


def _add(home: Home, key: TrustedKey) -> None:
    trust = load_trust(home)
    known = trust.find(key.key_id)
    if known == key:
        return
    if known:
        next_step = f"run `headgate keys distrust {known.name}` first to change its name or what it may sign"
        raise UsageError(f"This key is trusted already, as {known.name}", next_step=next_step)
    if any(other.name == key.name for other in trust.keys):
        next_step = f"choose another name, or run `headgate keys distrust {key.name}` first"
        raise UsageError(f"Another trusted key is named {key.name}", next_step=next_step)
    write_trust(_trusted(home), Trust((*trust.keys, key)))


def _named(env: Mapping[str, str], home: Home, name: str | None, pem: str) -> TrustedKey:
    """The key under the name that was asked for, that it has already, or one after user and host."""
    trust = load_trust(home)
    if name:
        return make_trusted(name, pem)
    taken = {key.name for key in trust.keys}
    base = _slug(f"{env.get('USER') or env.get('LOGNAME') or 'headgate'}-{platform.node()}")
    names = (base if n == 1 else f"{base}-{n}" for n in range(1, len(taken) + 2))
    key = make_trusted(next(name for name in names if name not in taken), pem)
    return trust.find(key.key_id) or key


def make_trusted(name: str, pem: str, kinds: frozenset[str] | None = None) -> TrustedKey:
    """A key under a name, for the kinds of evidence it may sign; UsageError for what is neither."""
    if "PRIVATE KEY" in pem:
        why = "it holds a private key, which only its owner should have"
        raise UsageError(f"{name} is not trusted", why=why, next_step="ask for the public half alone")
    try:
        return TrustedKey(name, pem, kinds)
    except ValueError as problem:
        raise UsageError(f"{name} cannot be trusted as a key", why=str(problem)) from problem


def _own(env: Mapping[str, str], home: Home) -> Signer:
    if _private(home).exists():
        return _from_pem(_read_secret(_private(home)), env, str(_private(home)))
    return _in_service(None, home)


def _open(named: str, env: Mapping[str, str], home: Home) -> Signer:
    scheme, colon, rest = named.partition(":")
    if scheme == _FROM_VARIABLE and colon:
        if not env.get(rest):
            why = f"the environment variable {rest} is not set"
            raise UsageError(f"The signing key {named} cannot be read", why=why)
        return _from_pem(env[rest].encode(), env, named)
    if scheme in SERVICES and colon:
        return _in_service(named, home)
    if colon and not Path(named).exists() and "/" not in scheme:
        known = did_you_mean(scheme, [*SERVICES, _FROM_VARIABLE])
        raise UsageError(f"{KEY_VARIABLE} is {named!r}, neither a file nor a service's URI", why=known)
    return _from_pem(_read_secret(Path(named).expanduser()), env, named)


def _in_service(named: str | None, home: Home) -> Signer:
    """The key in a service whose URI and public half the home keeps; it must be the one that is named."""
    from registry.kms_signer import KmsSigner  # noqa: PLC0415 - brings boto3, which few homes need

    uri, _, pem = _read(_public(home)).partition("\n") if _public(home).exists() else ("", "", "")
    if named not in {None, uri}:
        kept = f"{home.keys} keeps that of {uri}" if uri else f"it is not in {home.keys}"
        next_step = f"run `headgate keys {'rotate' if uri else 'init'} --from {named}` once"
        raise UsageError(f"The public half of {named} is not known", why=kept, next_step=next_step)
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


@contextlib.contextmanager
def _changing(home: Home) -> Iterator[None]:
    with exclusive(home.keys / ".lock"):
        yield


def _private(home: Home) -> Path:
    return home.keys / "signing.pem"


def _public(home: Home) -> Path:
    return home.keys / "signing.pub"


def _trusted(home: Home) -> Path:
    return home.keys / "trusted.yaml"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:100] or "headgate"
