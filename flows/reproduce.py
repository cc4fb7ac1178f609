"""The reproduce flow: are a version's weights what its source and recipe make?"""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.ending import told
from registry.errors import HeadgateError
from registry.named_version import named_version
from tasks.reproduce import reproduce as make_again
from tasks.workplace import open_workplace


@flow(name="reproduce")
def reproduce(version: str) -> dict[str, Any]:
    """Quantize a version's source again by its own recipe, and compare byte for byte.

    Args:
        version: The version's reference, NAME/NUMBER.
    """
    try:
        with open_workplace() as place:
            return make_again(place, named_version(place.store, place.trust, version)).to_json()
    except HeadgateError as error:
        return told(error)
