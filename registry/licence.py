"""Under which licence a model says it is, and whether a release may use it. Pure.

A licence is what the author wrote at the top of the model's card, in the hub's short names: mostly SPDX's in
lower case. Nobody checks that; what a release can show is that the author said it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from registry.errors import Refused
from registry.strict_json import shown

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_ITEM = re.compile(r"\n[ \t]*-[ \t]+(.*)")
_OTHER = "other"  # the hub's name for licences that have none; license_name then says which
_BETWEEN = ", "


def licence_of(card: str, config: Mapping[str, Any]) -> str | None:
    """The licence that a model's card names (its README.md, or ""), or else its config.json; None if none.

    In lower case; several are parted by ``, `` and hold together. A name that is given twice is none.
    """
    found = _FRONT_MATTER.match(card)
    front = found[1] if found else ""
    names = _values(front, "license")
    if names == [_OTHER]:
        names = _values(front, "license_name") or names
    stated = config.get("license")
    if not names and isinstance(stated, str):
        names = [_plain(stated)]
    return _BETWEEN.join(name for name in names if name) or None


def refuse_licence(licence: str | None, allowed: Collection[str], where: str) -> None:
    """Raises Refused unless every licence that ``where`` names is allowed; an empty list allows any."""
    if not allowed:
        return
    known = f"model.licences allows {_BETWEEN.join(sorted(allowed))}"
    if licence is None:
        raise Refused(
            f"{where} names no licence",
            why=f"neither its card nor its config.json does, and {known}",
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


def _values(front: str, key: str) -> list[str]:
    """A key's value, or values, in YAML's usual spellings.

    Not by a YAML reader: cards are long, strangers write them, and two keys are all that is wanted.
    """
    lines = list(re.finditer(rf"^{key}:[ \t]*(.*)((?:\n[ \t]*-[ \t].*)*)", front, re.MULTILINE))
    if len(lines) != 1:
        return []
    value, items = lines[0].groups()
    if value.strip():
        return [_plain(item) for item in value.strip().strip("[]").split(",")]
    return [_plain(item) for item in _ITEM.findall(items)]


def _plain(text: str) -> str:
    return re.sub(r"(^|\s)#.*", "", text).strip().strip("'\"").casefold()
