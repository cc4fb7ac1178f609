"""JSON from strangers: read so that no other reader can understand it differently. Pure.

Python's reader alone takes UTF-16, lets the last of two equal keys win, and knows a number that is none.
"""

from __future__ import annotations

import json
from typing import Any

BOM = "\ufeff"
BEGINS_WITH_BOM = "it begins with a byte order mark (BOM), which readers need not skip: save it without"
"""Half a sentence for people, who do not see the mark in their editors."""

_DEEPEST = 64  # levels; real configurations have fewer than ten
_LONGEST_NUMBER = 100  # digits


def read_strictly(data: bytes) -> Any:
    """The value in UTF-8 JSON; raises ValueError, with the reason in words, for anything doubtful.

    That is a key given twice, NaN, and lists in lists without end. Infinity is taken: some configurations
    of known architectures have it.
    """
    try:
        text = data.decode()
        if text.startswith(BOM):
            raise ValueError(BEGINS_WITH_BOM)
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer)
        _refuse_depth(value)
        if "\\ud" in text.lower():  # else there can be no half of a pair
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it has half a character: an escape like \\ud800 without its other half") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}, in line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} is given twice")
        found[key] = value
    return found


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"it has a number of {len(digits)} digits")
    return int(digits)


def _constant(text: str) -> float:
    if text == "NaN":
        raise ValueError("it has the number NaN, which JSON does not know")
    return float(text)


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise ValueError(f"it is nested more than {_DEEPEST} levels deep")


def _children(parent: Any) -> list[Any]:
    values = parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ()
    return [value for value in values if isinstance(value, dict | list)]


def shown(value: Any, longest: int = 60) -> str:
    """A wrong value as it may be repeated: on one line, printable, of at most about this many characters."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}..."
