"""``headgate approve``, ``stage``, ``history`` and ``vouch``: who decides and moves what, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated

import typer

from cli.display import print_json, print_table, say
from cli.releases import Json
from registry import alias_log
from registry.alias import Alias
from registry.alias_move import Move
from registry.approval import approval
from registry.bundle import Signer
from registry.errors import UsageError
from registry.evidence import evidence_about, record
from registry.home import Home
from registry.key_ring import load_trust, open_signer
from registry.open_store import open_store
from registry.policy import insist, missing_evidence
from registry.policy_file import load_policy
from registry.predicates import APPROVAL
from registry.publish import get_version, list_versions
from registry.store import Store
from registry.trust import Trust
from registry.validation import did_you_mean
from registry.version import ModelVersion
from tasks.actor import actor

Reference = Annotated[str, typer.Argument(help="NAME/NUMBER, as `headgate versions` lists it.")]
Name = Annotated[str, typer.Argument(help="The model's name in the registry.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept with it for good.")]


def approve(
    version: Reference,
    why: Why,
    reject: Annotated[bool, typer.Option("--reject", help="Say no, or take an approval back.")] = False,
    as_json: Json = False,
) -> None:
    """Approve a version, or reject it, with the key that signs here: what a policy's `approval` asks for."""
    desk = _Desk(Home.from_environment(os.environ), datetime.now(UTC))
    found = get_version(desk.store, version)
    said = approval(found, at=desk.now, by=actor(), why=_reason(why), reject=reject)
    digest = record(desk.store, desk.signer, said)
    missing = desk.missing(found)
    word = "rejected" if reject else "approved"
    if as_json:
        signer = desk.signed_as
        print_json(
            {word: found.reference, "evidence": str(digest), "signer": signer, "missing": missing, "ok": True}
        )
        return
    rows = [[alias, "\n".join(sentences) or "nothing"] for alias, sentences in missing.items()]
    print_table(f"{found.reference} is {word} by {actor()}", ["alias", "still missing"], rows)


def stage(version: Reference, why: Why = "staged by hand", as_json: Json = False) -> None:
    """Point `staging` at a version, when it has the evidence that the policy asks for."""
    desk = _Desk(Home.from_environment(os.environ), datetime.now(UTC))
    found = get_version(desk.store, version)
    signer = desk.signer  # first: a key made just now is trusted
    about = evidence_about(desk.store, found, desk.trust)
    insist(load_policy(desk.home), Alias.STAGING, found, about, desk.now, desk.trust)
    aliases = alias_log.move_alias(
        desk.store,
        signer,
        desk.trust,
        name=found.name,
        gpu_class=found.gpu_class,
        alias=Alias.STAGING,
        number=found.number,
        at=desk.now,
        who=actor(),
        why=_reason(why),
    )
    if as_json:
        print_json({"version": found.reference, "aliases": aliases.to_json(), "ok": True})
    else:
        say(f"staging of {found.name} on {found.gpu_class} is {found.reference}.")


def history(
    name: Name,
    gpu_class: Annotated[str | None, typer.Option("--gpu-class", help="Only this GPU class's.")] = None,
    as_json: Json = False,
) -> None:
    """List every move of a model's aliases: who, when, why, from what, to what, and who signed it."""
    desk = _Desk(Home.from_environment(os.environ), datetime.now(UTC))
    moves = alias_log.history(desk.store, desk.trust, name, gpu_class)
    if as_json:
        print_json({"moves": [move.to_json() for move in moves], "ok": True})
        return
    if not moves:
        known = {version.name for version in list_versions(desk.store)}
        raise UsageError(
            f"No alias of {name!r} has ever moved", why=f"published models: {did_you_mean(name, known)}"
        )
    columns = ["when (UTC)", "move", "who", "why", "signed by"]
    print_table(f"Moves of {name}", columns, [_row(move) for move in moves])
    for move in (move for move in moves if move.doubt):
        say(f"Move {move.number} on {move.gpu_class} is in doubt: {move.doubt}.")


def vouch(
    name: Name,
    gpu_class: Annotated[str, typer.Option("--gpu-class", help="The GPU class they are for.")],
    why: Why,
    as_json: Json = False,
) -> None:
    """Sign for a model's aliases as they are: after a key is gone, or when they were moved before any was."""
    desk = _Desk(Home.from_environment(os.environ), datetime.now(UTC))
    aliases = alias_log.vouch(
        desk.store,
        desk.signer,
        desk.trust,
        name=name,
        gpu_class=gpu_class,
        at=desk.now,
        who=actor(),
        why=_reason(why),
    )
    if as_json:
        print_json({"name": name, "gpu_class": gpu_class, "aliases": aliases.to_json(), "ok": True})
        return
    rows = [[alias, str(number or "-")] for alias, number in aliases.to_json().items()]
    print_table(f"{actor()} vouches for the aliases of {name} on {gpu_class}", ["alias", "version"], rows)


@dataclass(frozen=True)
class _Desk:
    """What a person at this home works with, at this moment."""

    home: Home
    now: datetime

    @cached_property
    def store(self) -> Store:
        return open_store(os.environ, self.home)

    @cached_property
    def signer(self) -> Signer:
        return open_signer(os.environ, self.home, announce=say)

    @cached_property
    def trust(self) -> Trust:
        return load_trust(self.home)

    @cached_property
    def signed_as(self) -> str | None:
        """The name that what is signed here counts under, or None."""
        trusted = self.trust.find(self.signer.key_id)
        return trusted.name if trusted and trusted.may_sign(APPROVAL) else None

    def missing(self, version: ModelVersion) -> dict[str, list[str]]:
        policy, about = load_policy(self.home), evidence_about(self.store, version, self.trust)
        return {
            str(alias): missing_evidence(policy, alias, version, about, self.now, self.trust)
            for alias in (Alias.STAGING, Alias.PRODUCTION)
        }


def _reason(why: str) -> str:
    if not why.strip():
        raise UsageError("--why is empty", next_step="say in a few words why; it is kept with the decision")
    return why.strip()


def _row(move: Move) -> list[str]:
    return [
        move.at[:19].replace("T", " "),
        f"{move.alias} on {move.gpu_class}: {move.before.at(move.alias) or 'none'} -> {move.target}",
        move.who,
        f"{move.why} ({move.run})" if move.run else move.why,
        move.signer or "nobody trusted",
    ]
