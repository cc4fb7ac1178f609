"""Under which licence a model says it is, and whether a release may use it. Pure.

A licence is what the author wrote at the top of the model's card, in the hub's short names: mostly SPDX's in
lower case. Nobody checks that; what a release can show is that the author said it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import yaml

from registry.errors import Refused
from registry.strict_json import shown

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_LONGEST = 1 << 16  # characters; the hub's longest lists of tags and results are half of that
_KEYS = {"license", "license_name"}
_MERGE = "<<"  # brings keys from elsewhere
_OTHER = "other"  # the hub's name for licences that have none; license_name then says which
_BETWEEN = ", "


def licence_of(card: str, config: Mapping[str, Any]) -> str | None:
    """The licence that a model's card names (its README.md, or ""), or else its config.json; None if none.

    In lower case; several are parted by ``, `` and hold together. A card that cannot be read for certain
    names none, and the configuration does not stand in for it.
    """
    found = _FRONT_MATTER.match(card)
    try:
        card_says = _stated(found[1]) if found else {}
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    names = card_says.get("license", [])
    if names == [_OTHER]:
        names = card_says.get("license_name") or names
    stated = config.get("license")
    if not names and isinstance(stated, str):
        names = [stated.strip().casefold()]
    return _BETWEEN.join(name for name in names if name) or None


def refuse_licence(licence: str | None, allowed: Collection[str], where: str) -> None:
    """Raises Refused unless every licence that ``where`` names is allowed; an empty list allows any."""
    if not allowed:
        return
    known = f"model.licences allows {_BETWEEN.join(sorted(allowed))}"
    if licence is None:
        raise Refused(
            f"{where} names no licence",
            why=f"neither its card nor its config.json does in a way that has one meaning, and {known}",
            next_step="ask its authors, or choose another model; a folder of yours says it at the top of its "
            "README.md: `license: ...` between two lines of ---",
        )
    names = {name.casefold() for name in allowed}
    if others := [name for name in licence.split(_BETWEEN) if name not in names]:
        raise Refused(
            f"{where} is under the licence {shown(_BETWEEN.join(others))}",
            why=known,
            next_step="choose another model, or have the licence read and add it to model.licences",
        )


def _stated(front: str) -> dict[str, list[str]]:
    """The texts of each key at the top of a card, in lower case; nothing is made of them.

    Raises ValueError or YAMLError for what readers of YAML might read in different ways, or not at all.
    """
    if len(front) > _LONGEST:
        raise ValueError("longer than any card's")
    top = yaml.compose(front, Loader=yaml.SafeLoader)
    if top is None:
        return {}
    if not isinstance(top, yaml.MappingNode):
        raise ValueError("no keys")
    found: dict[str, list[str]] = {}
    for key, value in top.value:
        if not isinstance(key, yaml.ScalarNode) or key.value in found or key.value == _MERGE:
            raise ValueError("a key given twice, or one that is no text")
        found[str(key.value)] = _texts(value) if key.value in _KEYS else []
    return found


def _texts(node: yaml.Node) -> list[str]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not all(isinstance(one, yaml.ScalarNode) for one in nodes):
        raise ValueError("no text, and no list of texts")
    return [text for one in nodes if (text := str(one.value).strip().casefold())]
