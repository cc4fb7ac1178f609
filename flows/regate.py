"""The regate flow: a published version's weights, judged again on the runtime that is installed now."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.again import candidate_again, prepare_question
from flows.ending import told
from flows.gates import judge_candidate
from flows.ship import ship
from flows.spec import Gates
from registry.errors import HeadgateError
from registry.named_version import named_version
from tasks.judged_before import judged_before
from tasks.workplace import open_workplace


@flow(name="regate")
def regate(version: str, suite: str | None = None, gates: Gates | None = None) -> dict[str, Any]:
    """Judge a version again on this Headgate's runtime; what passes is a new version of the same weights.

    Nothing is done where the version, or another one of the same weights and serve configuration, was judged
    on this runtime by these gates, and that still holds.

    Args:
        version: The version's reference, NAME/NUMBER.
        suite: Name of a suite, or path of a suite file; empty takes the one that judged it last.
        gates: Suite, limits, load and scan policy; empty takes what its evidence names.
    """
    try:
        return _regate(version, suite, gates)
    except HeadgateError as error:
        return told(error)


def _regate(version: str, suite: str | None, gates: Gates | None) -> dict[str, Any]:
    with open_workplace() as place:
        question = prepare_question(place, named_version(place.store, place.trust, version), suite, gates)
        known = judged_before(place, question.version.name, question.release, question.facts)
        if known:
            return {"version": known.reference, "regated": version, "note": "already judged on this runtime"}
        candidate = candidate_again(place, question)
        page = judge_candidate(place, candidate)
        _, result = ship(place, candidate, page, question.version.name)
    return {**result, "regated": version}
