"""The keys whose signatures count in a home: ``HEADGATE_HOME/keys/trusted.yaml``.

A name is a holder, a person or a CI, and all keys of one holder count as one signer. So a second key joins a
name only when somebody says so: a typo must not sign for somebody else.

``own.yaml`` beside it keeps the key that the home signs with (``own_key``), as it was last trusted: neither
a distrust nor the loss of its private half takes the holder's name and rights with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from registry.atomic import exclusive
from registry.errors import UsageError
from registry.home import Home
from registry.trust import Trust, TrustedKey
from registry.trust_file import read_trust, write_trust
from registry.validation import did_you_mean

_FEWEST_DIGITS = 8  # of a key's id: fewer might be a word that was mistyped
_OWN_HEADER = """\
# The key this home signs with, as it was last trusted. What replaces it keeps the name and what it may sign.
"""


def load_trust(home: Home) -> Trust:
    """The keys whose signatures count here; none before the first is made. Raises UsageError."""
    return read_trust(_trusted(home))


def trust_key(home: Home, key: TrustedKey) -> None:
    """Let a new holder's key count, also for what it signed before; UsageError for a name that is taken."""
    with changing(home):
        trust = load_trust(home)
        held = trust.of(key.name)
        if held and trust.find(key.key_id) is None:
            why = f"it holds {ids(held)}, and all keys of one name count as one signer"
            next_step = "add --another if this is a new key of the same holder, else choose another name"
            raise UsageError(f"The name {key.name} is taken", why=why, next_step=next_step)
        add_key(home, key)


def trust_another(home: Home, name: str, pem: str, kinds: frozenset[str] | None = None) -> TrustedKey:
    """Let a further key of a holder count, for the kinds that the others may sign unless some are given.

    Raises UsageError when nobody has this name, or when the holder's keys may sign different kinds.
    """
    with changing(home):
        held = load_trust(home).of(name)
        if not held:
            known = did_you_mean(name, {key.name for key in load_trust(home).keys})
            next_step = "leave --another out for a new holder"
            raise UsageError(f"No trusted key is named {name!r}", why=known, next_step=next_step)
        key = make_trusted(name, pem, _agreed(held) if kinds is None else kinds)
        add_key(home, key)
        return key


def distrust_keys(home: Home, word: str) -> tuple[TrustedKey, ...]:
    """Let the signatures of these keys (``find_keys``) count no more; returns them. Raises UsageError."""
    with changing(home):
        trust, own = load_trust(home), own_entry(home)
        found = find_keys(trust, word)
        if own and own in found:
            keep_own(home, own)
        write_trust(_trusted(home), Trust(tuple(key for key in trust.keys if key not in found)))
        return found


def find_keys(trust: Trust, word: str) -> tuple[TrustedKey, ...]:
    """The keys of the holder of this name, or the one key whose id begins so. Raises UsageError."""
    if held := trust.of(word):
        return held
    found = tuple(key for key in trust.keys if key.key_id.startswith(word) and len(word) >= _FEWEST_DIGITS)
    if len(found) > 1:
        raise UsageError(f"The ids of {len(found)} keys begin with {word}", next_step="give more digits")
    if not found:
        known = did_you_mean(word, {key.name for key in trust.keys})
        next_step = f"`headgate keys list` shows names and ids; {_FEWEST_DIGITS} digits of an id are enough"
        raise UsageError(f"No trusted key has the name or id {word!r}", why=known, next_step=next_step)
    return found


def make_trusted(name: str, pem: str, kinds: frozenset[str] | None = None) -> TrustedKey:
    """A key under a name, for the kinds of evidence it may sign; UsageError for what is neither."""
    if "PRIVATE KEY" in pem:
        why = "it holds a private key, which only its owner should have"
        raise UsageError(f"{name} is not trusted", why=why, next_step="ask for the public half alone")
    try:
        return TrustedKey(name, pem, kinds)
    except ValueError as problem:
        raise UsageError(f"{name} cannot be trusted as a key", why=str(problem)) from problem


def add_key(home: Home, key: TrustedKey) -> None:
    """Trust a key, whoever else has its name, within ``changing``; UsageError when it has another entry."""
    trust = load_trust(home)
    known = trust.find(key.key_id)
    if known is None:
        write_trust(_trusted(home), Trust((*trust.keys, key)))
    elif known != key:
        command = f"`headgate keys distrust {known.key_id[:12]}`"
        next_step = f"run {command} first to change its name or what it may sign"
        raise UsageError(f"This key is trusted already, as {known.name}", next_step=next_step)


def own_entry(home: Home) -> TrustedKey | None:
    """The key this home signs with, as it is or was last trusted; None before it has signed. UsageError."""
    kept = read_trust(_own(home)).keys
    return load_trust(home).find(kept[-1].key_id) or kept[-1] if kept else None


def keep_own(home: Home, key: TrustedKey) -> None:
    """Remember the key this home signs with, within ``changing``; raises InfrastructureError."""
    if read_trust(_own(home)).keys != (key,):
        write_trust(_own(home), Trust((key,)), _OWN_HEADER)


def changing(home: Home) -> AbstractContextManager[None]:
    """Hold the lock that whoever changes keys of this home holds."""
    return exclusive(home.keys / ".lock")


def ids(keys: Iterable[TrustedKey]) -> str:
    """How people tell keys apart: the beginnings of their ids."""
    return ", ".join(key.key_id[:12] for key in keys)


def _agreed(held: tuple[TrustedKey, ...]) -> frozenset[str] | None:
    kinds, *others = {key.kinds for key in held}
    if others:
        what = f"The keys of {held[0].name} may sign different kinds of evidence"
        raise UsageError(what, next_step="name with --for what this one may sign")
    return kinds


def _trusted(home: Home) -> Path:
    return home.keys / "trusted.yaml"


def _own(home: Home) -> Path:
    return home.keys / "own.yaml"
