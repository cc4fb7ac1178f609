"""in-toto statements: what is written reads back, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.digest import Digest
from registry.statement import STATEMENT_TYPE, Statement
from tests.simulators.json_values import mangled, plain_json
from tests.simulators.records import digest

_TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
_SUBJECTS = st.dictionaries(_TEXT, st.binary(max_size=3).map(Digest.of_bytes), min_size=1, max_size=3)
_PREDICATES = st.dictionaries(_TEXT, plain_json(), max_size=3)
_WRITTEN = json.loads(
    Statement(
        predicate_type="urn:x",
        subjects={"a": digest("a"), "b": digest("b")},
        predicate={"n": [1, {"m": None}]},
    ).to_bytes()
)


@given(_TEXT, _SUBJECTS, _PREDICATES)
def test_a_statement_reads_back(type_: str, subjects: dict[str, Digest], predicate: dict[str, Any]) -> None:
    """With its subjects in their order: the first is the one it speaks of."""
    said = Statement(predicate_type=type_, subjects=subjects, predicate=predicate)
    read = Statement.from_json(json.loads(said.to_bytes()))
    assert read == said
    assert list(read.subjects) == list(subjects)
    assert read.to_bytes() == said.to_bytes()


@pytest.mark.parametrize("predicate", [[["a", 1]], [], "a", None])
def test_a_predicate_is_an_object(predicate: Any) -> None:
    """A list of pairs is not: it would be written back as something else."""
    with pytest.raises(TypeError, match="no object"):
        Statement.from_json({**_WRITTEN, "predicate": predicate})


@settings(max_examples=300)
@given(mangled(_WRITTEN))
def test_a_mangled_statement_is_one_or_is_refused(value: Any) -> None:
    """Only errors that say what is wrong; what is taken can be written again."""
    try:
        read = Statement.from_json(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    assert Statement.from_json(json.loads(read.to_bytes())) == read


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"subject": []},
        {"subject": [{"name": "a", "digest": {"sha1": "0" * 40}}]},
        {"subject": [{"name": "a", "digest": {"sha256": digest("a").hex.upper()}}]},
        {"subject": [{"name": "a", "digest": {"sha256": digest("a").hex}}] * 2},
        {"predicate": {"score": float("nan")}},
        {"predicate": {"note": "\ud800"}},
    ],
)
def test_what_is_no_statement_is_refused(change: dict[str, Any]) -> None:
    """Another version, no subject, no sha256, a subject twice, values that JSON cannot hold."""
    with pytest.raises((KeyError, ValueError)):
        Statement.from_json({**_WRITTEN, **change})


def test_a_subject_needs_no_name() -> None:
    """Cosign signs images without one."""
    subject = {"digest": {"sha256": digest("image").hex}}
    value = {"_type": STATEMENT_TYPE, "subject": [subject], "predicateType": "urn:x", "predicate": {}}
    assert Statement.from_json(value).subjects == {"": digest("image")}


def test_a_statement_about_nothing_is_not_made() -> None:
    """It could be filed under anything."""
    with pytest.raises(ValueError, match="needs a subject"):
        Statement(predicate_type="urn:x", subjects={}, predicate={})
