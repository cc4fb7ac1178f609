"""``headgate approve``, ``stage``, ``history`` and ``vouch``: who decides and moves what, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer

from cli.display import print_json, print_table, say
from cli.registry_access import Reference, RegistryAccess
from cli.releases import Json
from registry import alias_log
from registry.alias import Alias, Aliases
from registry.alias_chain import Chain
from registry.alias_history import faults, log_of
from registry.alias_move import Move
from registry.alias_vouch import Vouched
from registry.alias_vouch import vouch as sign_for
from registry.approval import approval
from registry.counting import Case
from registry.errors import InfrastructureError, NeedsApproval, UsageError
from registry.evidence import record
from registry.lost_evidence import check_kept, put_beside
from registry.open_case import open_case
from registry.policy import exemption, insist, missing_evidence, uncounted
from registry.predicates import APPROVAL
from registry.publish import list_versions
from registry.validation import did_you_mean
from registry.version import ModelVersion
from tasks.actor import actor

Name = Annotated[str, typer.Argument(help="The model's name in the registry.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept with it for good.")]


_LISTED = "`headgate versions` lists everything that is published"


def approve(
    version: Reference,
    why: Why,
    reject: Annotated[bool, typer.Option("--reject", help="Say no, or take an approval back.")] = False,
    as_json: Json = False,
) -> None:
    """Approve a version, or reject it, with the key that signs here: what a policy's `approval` asks for.

    Exits with 20 when it was recorded and does not count.
    """
    at, now = RegistryAccess(), datetime.now(UTC)
    found = at.version(version)
    said = approval(found, at=now, by=actor(), why=_reason(why), reject=reject)
    digest = record(at.store, at.signer, said)
    put_beside(at.store, at.layout, found, said.subject, digest)
    word = "rejected" if reject else "approved"
    case = _case_after(at, found, now, word)
    missing = {str(a): missing_evidence(at.policy, a, case) for a in (Alias.STAGING, Alias.PRODUCTION)}
    doubts = [doubt for e in case.found if e.digest == digest for doubt in uncounted(at.policy, case, e)]
    if as_json:
        told = {"evidence": str(digest), "signer": _signed_as(at), "doubts": doubts, "missing": missing}
        print_json({word: found.reference, **told, "exempt": exemption(case), "ok": not doubts})
    else:
        rows = [[alias, "\n".join(sentences) or "nothing"] for alias, sentences in missing.items()]
        title = f"{found.reference} is {word} by {actor()}{', and it does not count' if doubts else ''}"
        print_table(title, ["alias", "still missing"], rows)
    _say_exempt(case)
    if doubts:
        _end_uncounted(f"The {'rejection' if reject else 'approval'} of {found.reference}", doubts)


def stage(version: Reference, why: Why = "staged by hand", as_json: Json = False) -> None:
    """Point `staging` at a version, when it has the evidence that the policy asks for."""
    at, now = RegistryAccess(), datetime.now(UTC)
    found = at.version(version)
    signer, trust = at.signer, at.trust  # in this order: a key made just now is trusted
    case = open_case(at.store, found, trust, now)
    check_kept(at.store, at.layout, found, {e.digest for e in case.found}, trust)
    insist(at.policy, Alias.STAGING, case)
    _say_exempt(case)
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
        told = {"version": found.reference, "aliases": aliases.to_json()}
        print_json({**told, "exempt": exemption(case), "ok": True})
    else:
        say(f"staging of {found.name} on {found.gpu_class} is {found.reference}.")


def history(
    name: Name,
    gpu_class: Annotated[str | None, typer.Option("--gpu-class", help="Only this GPU class's.")] = None,
    as_json: Json = False,
) -> None:
    """List every move of a model's aliases: who, when, why, from what, to what, and who signed it.

    Exits with 40 when a move, or the record of a version that one points at, is missing or damaged, or the
    aliases cannot be believed; the other moves are shown.
    """
    at = RegistryAccess()
    _check_place(at, name, gpu_class)
    places = (place for place in alias_log.places(at.store, name) if gpu_class in (None, place[1]))
    chains = [Chain(at.store, at.trust, *place) for place in places]
    logs = [(chain, log_of(chain)) for chain in chains]
    moves = [move for _, log in logs for move in log.told]
    found = [fault for chain, log in logs for fault in faults(chain, log) if not fault.harmless]
    problems = [*map(str, found)]
    if as_json:
        print_json({"moves": [move.to_json() for move in moves], "problems": problems, "ok": not problems})
        raise typer.Exit(InfrastructureError.exit_code if problems else 0)
    if not moves and not problems:
        say(f"No alias of {name} has moved yet.")
        return
    columns = ["when (UTC)", "move", "who", "why", "signed by"]
    print_table(f"Moves of {name}", columns, [_row(move) for move in moves])
    for move in (move for _, log in logs for move in log.signed_for):
        say(f"Move {move.number} on {move.gpu_class} is in doubt: {move.doubt}.")
    for move in (move for move in moves if move.lost):
        say(_lost(move))
    for sentence in problems:
        say(sentence)
    if problems:
        raise typer.Exit(InfrastructureError.exit_code)


def vouch(
    name: Name,
    gpu_class: Annotated[str, typer.Option("--gpu-class", help="The GPU class they are for.")],
    why: Why,
    restored: Annotated[
        bool,
        typer.Option(
            "--restored",
            help="Go on without moves that are gone: no backup has them, or the store is an older one.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Sign for a model's aliases as they are: after a key or moves are gone, or where no key had signed them.

    What `production` and `previous` name counts as live here from then on: look before you sign.
    """
    at = RegistryAccess()
    _check_place(at, name, gpu_class)
    done = sign_for(
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
    aliases = alias_log.get_aliases(at.store, at.trust, name, gpu_class)
    given_up = _given_up(name, gpu_class, done)
    if as_json:
        told = {"name": name, "gpu_class": gpu_class, "aliases": aliases.to_json(), "signed": done.signed}
        print_json({**told, "lost": done.lost, "dropped": done.dropped, "warnings": given_up, "ok": True})
        return
    if done.signed:
        rows = [[alias, str(number or "-")] for alias, number in aliases.to_json().items()]
        print_table(f"{actor()} vouches for the aliases of {name} on {gpu_class}", ["alias", "version"], rows)
    elif not given_up:
        reason = "a trusted key signed their last move" if aliases != Aliases() else "none of them is set"
        say(f"Nothing was signed for the aliases of {name} on {gpu_class}, as nothing needs it: {reason}.")
    for sentence in given_up:
        say(sentence)


def _given_up(name: str, gpu_class: str, done: Vouched) -> list[str]:
    """A sentence for everything that vouching went on without."""
    moves = ", ".join(map(str, done.lost))
    told = [f"{alias} on {gpu_class} does not name {name}/{n} any more." for alias, n in done.dropped.items()]
    if done.lost and done.signed:
        told.append(f"It goes on without the moves {moves}: `headgate history {name}` tells them.")
    elif done.lost:
        told.append(
            f"Nothing is left to sign for: the moves {moves} of {name} on {gpu_class} that this home has seen"
            " are given up, and no alias is set. `headgate gc --apply` may remove everything that only they"
            " kept: `headgate stage` and `headgate promote` what is live first, or `headgate pin` it."
        )
    return told


def _case_after(at: RegistryAccess, version: ModelVersion, now: datetime, word: str) -> Case:
    """The case with what was just recorded; InfrastructureError says so when the rest cannot be read."""
    try:
        return open_case(at.store, version, at.trust, now)
    except InfrastructureError as damage:
        what = f"{version.reference} is {word}, and what that changes cannot be told: {damage.what}"
        raise InfrastructureError(what, why=damage.why, next_step=damage.next_step) from damage


def _end_uncounted(what: str, doubts: list[str]) -> NoReturn:
    problem = NeedsApproval(
        f"{what} was recorded",
        why=". ".join(doubts),
        next_step="have it signed with a key that counts: `headgate keys list` shows whose do, and for what;"
        " HEADGATE_SIGNING_KEY names the one that signs",
    )
    say(str(problem))
    raise typer.Exit(problem.exit_code)


def _say_exempt(case: Case) -> None:
    if exempt := exemption(case):
        say(f"{case.version.reference}: {exempt}.")


def _check_place(at: RegistryAccess, name: str, gpu_class: str | None) -> None:
    """UsageError for a model, or a GPU class of it, that has neither versions nor aliases."""
    classes = {place[1] for place in alias_log.places(at.store, name)}
    if gpu_class in classes or (classes and gpu_class is None):
        return
    classes |= {version.gpu_class for version in list_versions(at.store, name)}
    if not classes:
        known = {version.name for version in list_versions(at.store)}
        raise UsageError(f"There is no model {name!r}", why=did_you_mean(name, known), next_step=_LISTED)
    if gpu_class and gpu_class not in classes:
        what = f"{name} has no version for the GPU class {gpu_class!r}"
        raise UsageError(what, why=f"it has some for {', '.join(sorted(classes))}", next_step=_LISTED)


def _signed_as(at: RegistryAccess) -> str | None:
    """The name that an approval signed here counts under, or None."""
    trusted = at.trust.find(at.signer.key_id)
    return trusted.name if trusted and trusted.may_sign(APPROVAL) else None


def _reason(why: str) -> str:
    if not why.strip():
        raise UsageError("--why is empty", next_step="say in a few words why; it is kept with the decision")
    return why.strip()


def _lost(move: Move) -> str:
    numbers, many = ", ".join(map(str, move.lost)), len(move.lost) > 1
    lost = f"Move{'s' if many else ''} {numbers} on {move.gpu_class} {'are' if many else 'is'} lost"
    return f"{lost}: {move.who} goes on without, with move {move.number} ({move.why})."


def _row(move: Move) -> list[str]:
    return [
        move.at[:19].replace("T", " "),
        f"{move.alias} on {move.gpu_class}: {move.before.at(move.alias) or 'none'} -> {move.target}",
        move.who,
        f"{move.why} ({move.run})" if move.run else move.why,
        move.signer or "nobody trusted",
    ]
