"""JSON as anybody may send it, for tests of what reads it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


def any_json() -> st.SearchStrategy[Any]:
    """Any JSON value, also with NaN and text that no encoding can write."""
    return st.recursive(
        _PLAIN | st.text(st.characters(), max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )


def plain_json() -> st.SearchStrategy[Any]:
    """Any JSON value that can be written in its canonical form."""
    text = st.text(st.characters(codec="utf-8"))
    numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        st.none() | st.booleans() | numbers | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    )


def mangled(value: Any) -> st.SearchStrategy[Any]:
    """The value with one part of it, however deep, replaced by any JSON or left out."""
    paths = list(_paths(value))
    drop = st.just(_DROP)
    return st.builds(lambda path, new: _replaced(value, path, new), st.sampled_from(paths), drop | any_json())


_DROP = object()


def _paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    if isinstance(value, list):
        inner = list(enumerate(value))
    return [here, *(path for key, item in inner for path in _paths(item, (*here, key)))]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return None if new is _DROP else new
    key, *rest = path
    changed = {key: _replaced(value[key], tuple(rest), new)} if rest or new is not _DROP else {}
    if isinstance(value, dict):
        return {**{k: v for k, v in value.items() if k != key}, **changed}
    return [*value[:key], *changed.values(), *value[key + 1 :]]
