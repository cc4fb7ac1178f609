"""The release flow: fetch, quantize, gate, pack, scan, publish - and promote, when the spec says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.acceptance import accept
from flows.candidate import prepare
from flows.ending import told
from flows.promote import promote_if_new
from flows.ship import ship
from flows.spec import ReleaseSpec, anchor
from registry.errors import HeadgateError
from tasks.workplace import open_workplace


@flow(name="release")
def release(spec: ReleaseSpec) -> dict[str, Any]:
    """Take a model from a hub to a version with evidence, and on to the fleet when ``rollout.auto`` is set.

    Args:
        spec: One release - what to fetch, and how to quantize, serve, judge and roll it out.
    """
    try:
        return _release(anchor(spec, Path.cwd()))
    except HeadgateError as error:
        return told(error)


def _release(spec: ReleaseSpec) -> dict[str, Any]:
    with open_workplace() as place:
        accepted = accept(place, spec, prepare(place, spec))
        repository = spec.image.repository or spec.registry.name
        version, result = ship(place, accepted.candidate, accepted.page, repository)
    if accepted.rejected:
        result["rejected"] = [
            {"recipe": r.to_json(), "why": refusal.why, "next": refusal.next_step}
            for r, refusal in accepted.rejected
        ]
    if spec.rollout.auto:
        result["rollout"] = promote_if_new(version, spec.rollout)
    return result
