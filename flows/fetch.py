"""The fetch flow: a release's model on this machine ahead of time, or what that would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.ending import told
from flows.spec import Model, ReleaseSpec, anchor
from registry.errors import HeadgateError
from tasks.fetch import fetch as fetch_model
from tasks.fetch import plan_fetch
from tasks.workplace import Workplace, open_workplace


@flow(name="fetch")
def fetch(spec: ReleaseSpec, dry_run: bool = False) -> dict[str, Any]:
    """Have the model of a release on this machine, verified; the release then finds it here.

    Args:
        spec: The release; only its model section matters.
        dry_run: Say how many bytes there are, how many are here, whether the disk has room, and whether the
            model may enter by all but its weights, which are not transferred.
    """
    model = anchor(spec, Path.cwd()).model
    try:
        with open_workplace() as place:
            if dry_run:
                return plan_fetch(
                    place, model.uri, model.revision or "main", model.licences, model.token_secret
                )
            return _fetched(place, model)
    except HeadgateError as error:
        return told(error)


def _fetched(place: Workplace, model: Model) -> dict[str, Any]:
    got = fetch_model(place, model.uri, model.revision or "main", model.licences, model.token_secret)
    return {
        "uri": got.uri,
        "commit": got.commit,
        "files": {path: entry.size for path, entry in got.manifest.files.items()},
        "bytes": got.manifest.size,
        "licence": got.terms.licence,
        "fetched": dict(got.places),
    }
