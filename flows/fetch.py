"""The fetch flow: a release's model on this machine ahead of time, or what that would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.ending import told
from flows.spec import Model, ReleaseSpec, anchor
from flows.translate import checked_recipes
from registry.errors import HeadgateError
from tasks.fetch import fetch as fetch_model
from tasks.fetch import plan_fetch
from tasks.workplace import Workplace, open_workplace

_OF_RECIPES = "whether the recipes, and texts on a hub, fit: `headgate release` judges that"


@flow(name="fetch")
def fetch(spec: ReleaseSpec, dry_run: bool = False) -> dict[str, Any]:
    """Have the model of a release on this machine, verified; the release then finds it here.

    Args:
        spec: The release. Its model is fetched; its recipes are judged as far as no model is needed for it.
        dry_run: Say how many bytes there are, how many are here, whether the disk has room, and whether the
            model may enter by all but its weights, which are not transferred.
    """
    anchored = anchor(spec, Path.cwd())
    model = anchored.model
    try:
        recipes = checked_recipes(anchored.quantize)
        with open_workplace() as place:
            if dry_run:
                result = plan_fetch(
                    place, model.uri, model.revision or "main", model.licences, model.token_secret
                )
            else:
                result = _fetched(place, model)
            open_questions = [result["not_checked"], _OF_RECIPES if recipes else ""]
            return {**result, "not_checked": "; ".join(filter(None, open_questions))}
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
        "not_checked": "",
    }
