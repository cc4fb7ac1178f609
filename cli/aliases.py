"""``headgate approve``, ``stage``, ``history`` and ``vouch``: who decides and moves what, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.display import print_json, print_table, say
from cli.registry_access import Reference, RegistryAccess
from cli.releases import Json
from registry import alias_log
from registry.alias import Alias
from registry.alias_move import Move
from registry.approval import approval
from registry.counting import Case
from registry.errors import UsageError
from registry.evidence import evidence_about, record
from registry.policy import insist, missing_evidence, uncounted
from registry.predicates import APPROVAL
from registry.publish import list_versions
from registry.validation import did_you_mean
from tasks.actor import actor

Name = Annotated[str, typer.Argument(help="The model's name in the registry.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept with it for good.")]


def approve(
    version: Reference,
    why: Why,
    reject: Annotated[bool, typer.Option("--reject", help="Say no, or take an approval back.")] = False,
    as_json: Json = False,
) -> None:
    """Approve a version, or reject it, with the key that signs here: what a policy's `approval` asks for."""
    at, now = RegistryAccess(), datetime.now(UTC)
    found = at.version(version)
    said = approval(found, at=now, by=actor(), why=_reason(why), reject=reject)
    digest = record(at.store, at.signer, said)
    trust = at.trust
    about = evidence_about(at.store, found, trust)
    missing = {
        str(alias): missing_evidence(at.policy, alias, found, about, now, trust)
        for alias in (Alias.STAGING, Alias.PRODUCTION)
    }
    case = Case(found, tuple(about), now, trust)
    doubts = [doubt for e in about if e.digest == digest for doubt in uncounted(at.policy, case, e)]
    word = "rejected" if reject else "approved"
    if as_json:
        signer = _signed_as(at)
        told = {"evidence": str(digest), "signer": signer, "doubts": doubts, "missing": missing}
        print_json({word: found.reference, **told, "ok": True})
        return
    for doubt in doubts:
        say(f"{doubt}.")
    rows = [[alias, "\n".join(sentences) or "nothing"] for alias, sentences in missing.items()]
    print_table(f"{found.reference} is {word} by {actor()}", ["alias", "still missing"], rows)


def stage(version: Reference, why: Why = "staged by hand", as_json: Json = False) -> None:
    """Point `staging` at a version, when it has the evidence that the policy asks for."""
    at, now = RegistryAccess(), datetime.now(UTC)
    found = at.version(version)
    signer, trust = at.signer, at.trust  # in this order: a key made just now is trusted
    insist(at.policy, Alias.STAGING, found, evidence_about(at.store, found, trust), now, trust)
    aliases = alias_log.move_alias(
        at.store,
        signer,
        trust,
        name=found.name,
        gpu_class=found.gpu_class,
        alias=Alias.STAGING,
        number=found.number,
        at=now,
        who=actor(),
        why=_reason(why),
        record=found.record_digest,
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
    at = RegistryAccess()
    moves = alias_log.history(at.store, at.trust, name, gpu_class)
    places = (place for place in alias_log.places(at.store, name) if gpu_class in (None, place[1]))
    gone = [cut for place in places if (cut := alias_log.cut_log(at.store, at.trust, *place))]
    if as_json:
        print_json({"moves": [move.to_json() for move in moves], "gone": gone, "ok": not gone})
        return
    if not moves and not gone:
        known = {version.name for version in list_versions(at.store)}
        raise UsageError(
            f"No alias of {name!r} has ever moved", why=f"published models: {did_you_mean(name, known)}"
        )
    columns = ["when (UTC)", "move", "who", "why", "signed by"]
    print_table(f"Moves of {name}", columns, [_row(move) for move in moves])
    for move in (move for move in moves if move.doubt):
        say(f"Move {move.number} on {move.gpu_class} is in doubt: {move.doubt}.")
    for sentence in gone:
        say(sentence)


def vouch(
    name: Name,
    gpu_class: Annotated[str, typer.Option("--gpu-class", help="The GPU class they are for.")],
    why: Why,
    restored: Annotated[
        bool, typer.Option("--restored", help="The store is an older backup on purpose: moves may be gone.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Sign for a model's aliases as they are: after a key is gone, or when they were moved before any was."""
    at = RegistryAccess()
    aliases = alias_log.vouch(
        at.store,
        at.signer,
        at.trust,
        name=name,
        gpu_class=gpu_class,
        at=datetime.now(UTC),
        who=actor(),
        why=_reason(why),
        restored=restored,
    )
    if as_json:
        print_json({"name": name, "gpu_class": gpu_class, "aliases": aliases.to_json(), "ok": True})
        return
    rows = [[alias, str(number or "-")] for alias, number in aliases.to_json().items()]
    print_table(f"{actor()} vouches for the aliases of {name} on {gpu_class}", ["alias", "version"], rows)


def _signed_as(at: RegistryAccess) -> str | None:
    """The name that an approval signed here counts under, or None."""
    trusted = at.trust.find(at.signer.key_id)
    return trusted.name if trusted and trusted.may_sign(APPROVAL) else None


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
