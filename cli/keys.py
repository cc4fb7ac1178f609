"""``headgate keys``: the key that signs here, and the keys whose signatures count."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.display import print_json, print_table, say
from cli.releases import Json
from registry.errors import HeadgateError, UsageError
from registry.home import Home
from registry.key_ring import (
    distrust_keys,
    find_keys,
    ids,
    load_trust,
    make_trusted,
    trust_another,
    trust_key,
)
from registry.key_source import KEY_VARIABLE
from registry.own_key import find_signer, init_key, rotate_key
from registry.trust import TrustedKey
from registry.trust_file import check_kind

app = typer.Typer(no_args_is_help=True, help="The key that signs here, and the keys whose signatures count.")

FromUri = Annotated[
    str | None,
    typer.Option("--from", help="Use a key in a service: awskms:..., gcpkms:..., azurekms://..."),
]


@app.command()
def init(
    name: Annotated[
        str | None, typer.Option("--name", help="Who signs with it; else a name after user and host.")
    ] = None,
    from_uri: FromUri = None,
    as_json: Json = False,
) -> None:
    """Make the key this home signs with, or take one that lives in a key service; it is trusted here."""
    key = init_key(os.environ, _home(), name, from_uri)
    _tell(key, "signs here now, and is trusted", as_json=as_json)
    _say_if_unused(key)


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the trusted keys by who holds them, and which one signs here."""
    trust, signing = load_trust(_home()), _signs_here()
    keys = [key for name in dict.fromkeys(key.name for key in trust.keys) for key in trust.of(name)]
    if as_json:
        rows = [{**_plain(key), "signs_here": key.key_id == signing} for key in keys]
        print_json({"keys": rows, "signs_here": signing, "ok": True})
        return
    table = [[key.name, key.key_id[:12], _kinds(key), _yes(key.key_id == signing)] for key in keys]
    print_table("Trusted keys", ["name", "key", "may sign", "signs here"], table)
    if signing and trust.find(signing) is None:
        say(f"The key that signs here, {signing[:12]}, is not trusted: its evidence does not count.")


@app.command()
def trust(
    file: Annotated[Path, typer.Argument(help="The public key, in PEM.")],
    name: Annotated[str, typer.Option("--name", help="Who holds it.")],
    kinds: Annotated[
        list[str] | None,
        typer.Option("--for", help="A kind of evidence it may sign, such as approval; again for more."),
    ] = None,
    another: Annotated[
        bool,
        typer.Option(
            "--another",
            help="It is a new key of a name that is trusted already, as after `headgate keys rotate` in its "
            "home; without --for it may sign what the others may.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Let the signatures of a key count."""
    pem, chosen = _read(file), frozenset(_kind(kind) for kind in kinds) if kinds else None
    if another:
        key = trust_another(_home(), name, pem, chosen)
    else:
        key = make_trusted(name, pem, chosen)
        trust_key(_home(), key)
    _tell(key, f"is trusted; it may sign: {_kinds(key)}", as_json=as_json)


@app.command()
def distrust(
    which: Annotated[
        str,
        typer.Argument(
            metavar="NAME|KEY", help="A name, for all its keys, or the beginning of one key's id."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Let the signatures of keys count no more: evidence that only they signed is doubtful from now on."""
    signing = _signs_here()
    gone = distrust_keys(_home(), which)
    if as_json:
        rows = [{**_plain(key), "signs_here": key.key_id == signing} for key in gone]
        print_json({"keys": rows, "ok": True})
    else:
        say(f"{_named(gone)} trusted no more; what was signed with {_it(gone)} is doubtful now.")
        say("A rejection among it keeps nothing back any more: `headgate verify` names what does not count.")
        if left := load_trust(_home()).of(gone[0].name):
            say(f"{_named(left)} still trusted.")
    if signing and signing in {key.key_id for key in gone}:
        say(
            f"{signing[:12]} is the key that signs here: run `headgate keys rotate` for another of the same "
            f"name, or set {KEY_VARIABLE}."
        )


@app.command()
def rotate(from_uri: FromUri = None, as_json: Json = False) -> None:
    """Replace the key this home signs with by one of the same name. The old private key is gone."""
    key = rotate_key(os.environ, _home(), from_uri)
    _tell(key, "signs here now", as_json=as_json)
    if before := [other for other in load_trust(_home()).of(key.name) if other != key]:
        say(f"What {ids(before)} signed still counts; for a key that leaked, `headgate keys distrust ID`.")
    say(
        "Homes that trust this one have to trust the new key: `headgate keys export > new.pub` here, "
        "`headgate keys trust new.pub --name NAME --another` there."
    )
    _say_if_unused(key)


@app.command()
def export(
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|KEY",
            help="A name, for its key that signs here or its newest; or the beginning of a key's id. Without "
            "it, the key that signs here.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a public key: for `headgate keys trust`, `cosign verify`, `model_signing verify key`."""
    key = _chosen(which) if which else _signing_key()
    if as_json:
        print_json({**_plain(key), "ok": True})
    else:
        sys.stdout.write(key.pem)


def _chosen(which: str) -> TrustedKey:
    """One key, since verifiers take one; the others are named on standard error."""
    *others, newest = find_keys(load_trust(_home()), which)
    if not others:
        return newest
    signing = _signs_here()
    key = next((key for key in others if key.key_id == signing), newest)
    left = ids(other for other in (*others, newest) if other != key)
    say(f"This is {ids([key])}; {key.name} holds {left} too: `headgate keys export` takes an id as well.")
    return key


def _signing_key() -> TrustedKey:
    signer = find_signer(os.environ, _home())
    if signer is None:
        raise UsageError("There is no signing key here yet", next_step="run `headgate keys init`")
    return load_trust(_home()).find(signer.key_id) or TrustedKey("untrusted", signer.public_pem)


def _home() -> Home:
    return Home.from_environment(os.environ)


def _signs_here() -> str | None:
    """The signing key's id, or None with a word on why it is not known: a listing needs no passphrase."""
    try:
        signer = find_signer(os.environ, _home())
    except HeadgateError as problem:
        say(str(problem))
        return None
    return signer.key_id if signer else None


def _say_if_unused(key: TrustedKey) -> None:
    if os.environ.get(KEY_VARIABLE) and key.key_id != _signs_here():
        say(f"But {KEY_VARIABLE} is set, and the key it names signs instead while it is.")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"{file} cannot be read", why=problem.strerror or str(problem)) from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not a public key in PEM", why="it is not text") from None


def _kind(kind: str) -> str:
    try:
        return check_kind(kind)
    except ValueError as problem:
        raise UsageError("Nothing was trusted", why=str(problem)) from None


def _tell(key: TrustedKey, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({**_plain(key), "ok": True})
    else:
        say(f"{key.name} ({key.key_id[:12]}) {what}.")


def _named(keys: Sequence[TrustedKey]) -> str:
    """The subject of a sentence about keys of one name, with its verb."""
    if len(keys) == 1:
        return f"{keys[0].name} ({ids(keys)}) is"
    return f"{len(keys)} keys of {keys[0].name} ({ids(keys)}) are"


def _it(keys: Sequence[TrustedKey]) -> str:
    return "it" if len(keys) == 1 else "them"


def _plain(key: TrustedKey) -> dict[str, Any]:
    kinds = None if key.kinds is None else sorted(key.kinds)
    return {"name": key.name, "key_id": key.key_id, "kinds": kinds, "public": key.pem}


def _kinds(key: TrustedKey) -> str:
    return "everything" if key.kinds is None else ", ".join(sorted(key.kinds)) or "nothing"


def _yes(value: bool) -> str:
    return "yes" if value else ""
