"""``headgate keys``: the key that signs here, and the keys whose signatures count."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.display import print_json, print_table, say
from cli.releases import Json
from registry.errors import HeadgateError, UsageError
from registry.home import Home
from registry.key_ring import (
    KEY_VARIABLE,
    distrust_key,
    find_signer,
    init_key,
    load_trust,
    make_trusted,
    rotate_key,
    trust_key,
)
from registry.trust import TrustedKey
from registry.trust_file import check_kind
from registry.validation import did_you_mean

app = typer.Typer(no_args_is_help=True, help="The key that signs here, and the keys whose signatures count.")

Name = Annotated[str | None, typer.Option("--name", help="Its name here; else one after user and host.")]
FromUri = Annotated[
    str | None,
    typer.Option("--from", help="Use a key in a service: awskms:..., gcpkms:..., azurekms://..."),
]


@app.command()
def init(name: Name = None, from_uri: FromUri = None, as_json: Json = False) -> None:
    """Make the key this home signs with, or take one that lives in a key service; it is trusted here."""
    key = init_key(os.environ, _home(), name, from_uri)
    _tell(key, "signs here now, and is trusted", as_json=as_json)
    _say_if_unused(key)


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the trusted keys, and which one signs here."""
    trust, signing = load_trust(_home()), _signs_here()
    if as_json:
        rows = [{**_plain(key), "signs_here": key.key_id == signing} for key in trust.keys]
        print_json({"keys": rows, "signs_here": signing, "ok": True})
        return
    table = [[key.name, key.key_id[:12], _kinds(key), _yes(key.key_id == signing)] for key in trust.keys]
    print_table("Trusted keys", ["name", "key", "may sign", "signs here"], table)
    if signing and trust.find(signing) is None:
        say(f"The key that signs here, {signing[:12]}, is not trusted: its evidence does not count.")


@app.command()
def trust(
    file: Annotated[Path, typer.Argument(help="The public key, in PEM.")],
    name: Annotated[str, typer.Option("--name", help="Who it belongs to.")],
    kinds: Annotated[
        list[str] | None,
        typer.Option("--for", help="A kind of evidence it may sign, such as approval; again for more."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let the signatures of a key count."""
    key = make_trusted(name, _read(file), frozenset(_kind(kind) for kind in kinds) if kinds else None)
    trust_key(_home(), key)
    _tell(key, f"is trusted; it may sign: {_kinds(key)}", as_json=as_json)


@app.command()
def distrust(
    name: Annotated[str, typer.Argument(help="The name that `headgate keys list` gives.")],
    as_json: Json = False,
) -> None:
    """Let the signatures of a key count no more: evidence that only it signed is doubtful from now on."""
    key = distrust_key(_home(), name)
    _tell(key, "is trusted no more; what it signed is doubtful now", as_json=as_json)
    if key.key_id == _signs_here():
        say(f"It is the key that signs here: run `headgate keys rotate`, or set {KEY_VARIABLE} to another.")


@app.command()
def rotate(name: Name = None, from_uri: FromUri = None, as_json: Json = False) -> None:
    """Replace the key this home signs with. The old private key is gone; its evidence still counts."""
    key = rotate_key(os.environ, _home(), name, from_uri)
    _tell(key, "signs here now; what the old key signed still counts", as_json=as_json)
    _say_if_unused(key)


@app.command()
def export(
    name: Annotated[str | None, typer.Argument(help="A trusted key; else the one that signs here.")] = None,
    as_json: Json = False,
) -> None:
    """Print a public key: for `headgate keys trust`, `cosign verify`, `model_signing verify key`."""
    keys = {key.name: key for key in load_trust(_home()).keys}
    if name and name not in keys:
        raise UsageError(f"No trusted key is named {name!r}", why=did_you_mean(name, keys))
    key = keys[name] if name else _signing_key()
    if as_json:
        print_json({**_plain(key), "ok": True})
    else:
        sys.stdout.write(key.pem)


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


def _plain(key: TrustedKey) -> dict[str, Any]:
    kinds = None if key.kinds is None else sorted(key.kinds)
    return {"name": key.name, "key_id": key.key_id, "kinds": kinds, "public": key.pem}


def _kinds(key: TrustedKey) -> str:
    return "everything" if key.kinds is None else ", ".join(sorted(key.kinds)) or "nothing"


def _yes(value: bool) -> str:
    return "yes" if value else ""
