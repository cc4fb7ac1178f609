"""Runtimes: one digest over what is installed, whatever order it was found in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.runtime import Distribution, Runtime
from tests.simulators.records import digest

_TORCH = Distribution("torch", "2.13.0", digest("torch"))
_JINJA = Distribution("Jinja2", "3.1.6", digest("jinja2"))


@given(st.permutations([_TORCH, _JINJA, Distribution("zipp", "3", digest("z"))]))
def test_order_changes_nothing(found: list[Distribution]) -> None:
    """A file system lists folders as it likes."""
    runtime = Runtime(tuple(found))
    assert [d.name for d in runtime.distributions] == ["jinja2", "torch", "zipp"]
    assert runtime.digest == Runtime(tuple(reversed(found))).digest
    assert Runtime.from_json(runtime.to_json()) == runtime


@pytest.mark.parametrize(
    "change", [{"version": "2.13.1"}, {"content": digest("patched")}, {"name": "torch-cpu"}]
)
def test_any_change_is_another_runtime(change: dict[str, object]) -> None:
    """Also a file patched in place, under the same version."""
    assert Runtime((_JINJA, replace(_TORCH, **change))).digest != Runtime((_JINJA, _TORCH)).digest


def test_names_are_compared_as_the_index_does() -> None:
    """Spelling is not identity, so a second spelling is a second copy."""
    assert Distribution("Flask_Login.x", "1", digest("")).name == "flask-login-x"
    with pytest.raises(ValueError, match="installed twice: jinja2"):
        Runtime((_JINJA, Distribution("jinja2", "3.0", digest("old"))))


def test_an_empty_runtime_is_refused() -> None:
    """An environment that could not be read is not an environment without packages."""
    with pytest.raises(ValueError, match="without any distribution"):
        Runtime(())
    with pytest.raises(ValueError, match="name and a version"):
        Distribution("", "1", digest(""))
