"""YAML as plain data: no tags, so no code; no key twice; nothing that takes a reader's memory. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from registry.strict_json import shown

_DEEPEST = 64  # levels
_MOST_VALUES = 100_000  # aliases followed
_IN_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # no name of a file has them, and no prompt
_YAML_TAG = "tag:yaml.org,2002:"
_KEY_TAGS = (f"{_YAML_TAG}str", f"{_YAML_TAG}merge")


def load_plain(text: str) -> Any:
    """The value of a YAML text; raises a YAMLError, with the place, for what is no plain data.

    That is a tag (``!function``, ``!!python/...``), which can make data run code; a key that is given twice,
    as YAML's silent last-wins hides a typo, or that is no text; a character that no text may have; and lists
    in lists, or aliases of aliases, that come to more than anybody writes.
    """
    _refuse_strange(text)  # before anything is built of it
    return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader that refuses more


@dataclass
class _Extent:
    """What a value comes to with its aliases followed: the values in it, and levels below it."""

    anchor: str | None = None
    values: int = 1
    levels: int = 0


def _refuse_strange(text: str) -> None:
    above, anchored = [_Extent()], dict[str, _Extent]()
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        match event:
            case yaml.CollectionStartEvent():
                _refuse_tag(event)
                above.append(_Extent(event.anchor))
            case yaml.CollectionEndEvent():
                _add(above.pop(), above[-1], anchored)
            case yaml.ScalarEvent():
                _refuse_tag(event)
                _refuse_characters(event)
                _add(_Extent(event.anchor), above[-1], anchored)
            case yaml.AliasEvent():
                if event.anchor not in anchored:
                    raise _marked(f"*{event.anchor} stands for nothing that ends before it", event)
                _add(anchored[event.anchor], above[-1], anchored)
        if len(above) + above[-1].levels > _DEEPEST:
            raise _marked(f"it is nested more than {_DEEPEST} levels deep", event)
        if above[-1].values > _MOST_VALUES:
            raise _marked(f"it comes to more than {_MOST_VALUES} values", event)


def _add(inner: _Extent, outer: _Extent, anchored: dict[str, _Extent]) -> None:
    outer.values += inner.values
    outer.levels = max(outer.levels, inner.levels + 1)
    if inner.anchor:
        anchored[inner.anchor] = inner


def _refuse_tag(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
    if event.tag is not None:
        raise _marked(f"the tag {event.tag.replace(_YAML_TAG, '!!')} is not allowed", event)


def _refuse_characters(event: yaml.ScalarEvent) -> None:
    if strange := _IN_NO_TEXT.search(event.value):
        raise _marked(f"it has the character U+{ord(strange[0]):04X}, which no text may have", event)


def _marked(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


class _PlainLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.tag not in _KEY_TAGS:
                raise _marked(f"the key {key.value!r} is no text: put it into quotes", key)
            if key.value in seen:
                raise _marked(f"the key {key.value!r} is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:  # a day that is in no calendar, 5000 digits
            why = str(error).partition(";")[0]  # the rest is for whoever wrote the reader
            raise _marked(f"{shown(node.value)} is no value: {why}", node) from None
