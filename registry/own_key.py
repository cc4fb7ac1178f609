"""The key a home signs with: made on first use, replaced under its holder's name, missed when it is gone.

``HEADGATE_HOME/keys`` holds ``signing.pem`` (a private key, mode 0600, encrypted when there was a passphrase)
or ``signing.pub`` (the public half of a key in a key service, under the service's URI). A key is trusted
before it is first used to sign, so a crash in between leaves a trusted key too many, never evidence that
nobody trusts.
"""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from registry.atomic import write_file
from registry.bundle import Signer
from registry.errors import InfrastructureError, UsageError
from registry.home import Home
from registry.key_ring import add_key, changing, ids, keep_own, load_trust, make_trusted, own_entry
from registry.key_source import KEY_VARIABLE, PASSPHRASE_VARIABLE, open_file, open_named, open_service
from registry.signing import KeySigner
from registry.trust import TrustedKey


def open_signer(
    env: Mapping[str, str], home: Home, announce: Callable[[str], None] = lambda _sentence: None
) -> Signer:
    """The key to sign with: what HEADGATE_SIGNING_KEY names, else the home's own, made on first use.

    The variable holds a path to a PEM file, ``env:NAME`` of a variable that holds the PEM, or the URI of a
    key in a service (``awskms:alias/headgate``). ``announce`` is told, in a sentence, when a key was made,
    or when the one that signs is not trusted here. Raises UsageError, also when the home's own key is gone,
    or InfrastructureError.
    """
    if named := env.get(KEY_VARIABLE):
        signer = open_named(named, env, _public(home))
    else:
        _make_first(env, home, announce)
        signer = _open_own(env, home)
    trusted = load_trust(home).find(signer.key_id)
    if trusted is None:
        how = "give what `headgate keys export` prints to `headgate keys trust`"
        how = how if named else f"{how}, or run `headgate keys rotate`"
        announce(
            f"The signing key {signer.key_id[:12]} is not trusted here: its evidence will not count; {how}."
        )
    elif not named:
        _note(home, trusted)
    return signer


def find_signer(env: Mapping[str, str], home: Home) -> Signer | None:
    """The key to sign with, or None before there is one. Raises as ``open_signer`` does."""
    expected = env.get(KEY_VARIABLE) or _has_key(home) or own_entry(home)
    return open_signer(env, home) if expected else None


def init_key(env: Mapping[str, str], home: Home, name: str | None, uri: str | None) -> TrustedKey:
    """Make the home's first key, or take the one at a service's URI. UsageError when the home has or had one.

    Without a name it goes by the one it is trusted under, or by one after user and host.
    """
    with changing(home):
        if _has_key(home):
            next_step = "run `headgate keys rotate` to replace it; the old key stays trusted"
            raise UsageError(f"There is a signing key in {home.keys} already", next_step=next_step)
        return _first(env, home, name, uri)


def rotate_key(env: Mapping[str, str], home: Home, uri: str | None) -> TrustedKey:
    """Replace the home's own key, lost or not, by one of the same name that may sign the same.

    The old private key is gone; its public half stays trusted if it was. Raises UsageError.
    """
    with changing(home):
        old = own_entry(home)
        if old is None and not _has_key(home):
            raise UsageError(f"There is no signing key in {home.keys}", next_step="run `headgate keys init`")
        old = old or load_trust(home).find(_open_own(env, home).key_id)
        return _install(env, home, uri, lambda pem: _successor(env, home, old, pem))


def _make_first(env: Mapping[str, str], home: Home, announce: Callable[[str], None]) -> None:
    if _has_key(home):
        return
    with changing(home):
        if not _has_key(home):
            made = _first(env, home, None, None)
            announce(f"Made the signing key {made.name} in {home.keys}; it is trusted here.")


def _first(env: Mapping[str, str], home: Home, name: str | None, uri: str | None) -> TrustedKey:
    """A key for a home that never had one: what replaces a lost key must not look like somebody else's."""
    if lost := own_entry(home):
        next_step = (
            "restore it from your backup; if it is lost for good, `headgate keys rotate` makes another "
            "under the same name"
        )
        what = f"The signing key of this home, {lost.name} ({ids([lost])}), is gone"
        raise UsageError(what, why=f"it is not in {home.keys}", next_step=next_step)
    return _install(env, home, uri, lambda pem: _newcomer(env, home, name, pem))


def _install(
    env: Mapping[str, str], home: Home, uri: str | None, named: Callable[[str], TrustedKey]
) -> TrustedKey:
    """Make a key or take it from a service, trust it under the name it is given, then put it in its place."""
    if uri:
        from registry.kms_signer import read_kms_key  # noqa: PLC0415 - brings boto3, which few homes need

        uri, pem = read_kms_key(uri)
        path, other, mode, content = _public(home), _private(home), 0o666, f"{uri}\n{pem}".encode()
    else:
        signer = KeySigner.generate()
        pem, content = signer.public_pem, signer.to_pem(env.get(PASSPHRASE_VARIABLE))
        path, other, mode = _private(home), _public(home), 0o600
    key = named(pem)
    add_key(home, key)
    write_file(path, content, mode)
    other.unlink(missing_ok=True)
    keep_own(home, key)
    return key


def _newcomer(env: Mapping[str, str], home: Home, name: str | None, pem: str) -> TrustedKey:
    trust = load_trust(home)
    key = make_trusted(name or _unused_name(env, {key.name for key in trust.keys}), pem)
    known = trust.find(key.key_id)
    if known and name in {None, known.name}:
        return known
    if held := trust.of(key.name):
        why = f"it holds {ids(held)}, and all keys of one name count as one signer"
        next_step = f"choose another name, or run `headgate keys distrust {key.name}` first"
        raise UsageError(f"The name {key.name} is taken", why=why, next_step=next_step)
    return key


def _successor(env: Mapping[str, str], home: Home, old: TrustedKey | None, pem: str) -> TrustedKey:
    if old is None:  # put here by a person, and never trusted
        return _newcomer(env, home, None, pem)
    key = make_trusted(old.name, pem, old.kinds)
    known = load_trust(home).find(key.key_id)
    return known if known and known.name == key.name else key


def _unused_name(env: Mapping[str, str], taken: set[str]) -> str:
    base = _slug(f"{env.get('USER') or env.get('LOGNAME') or 'headgate'}-{platform.node()}")
    names = (base if n == 1 else f"{base}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _note(home: Home, own: TrustedKey) -> None:
    """Remember a key that a person put here, or that a process did which died right after."""
    if own_entry(home) == own:
        return
    # A folder that cannot be written cannot lose its key to us either.
    with contextlib.suppress(InfrastructureError), changing(home):
        keep_own(home, own)


def _open_own(env: Mapping[str, str], home: Home) -> Signer:
    if _private(home).exists():
        return open_file(_private(home), env)
    return open_service(None, _public(home))


def _has_key(home: Home) -> bool:
    """Whether the home has a key of its own, in a file or in a service."""
    return _private(home).exists() or _public(home).exists()


def _private(home: Home) -> Path:
    return home.keys / "signing.pem"


def _public(home: Home) -> Path:
    return home.keys / "signing.pub"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:100] or "headgate"
