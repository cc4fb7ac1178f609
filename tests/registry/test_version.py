"""Version records: what they hold, what makes two of them the same, and how they read back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.digest import Digest, canonical_json
from registry.version import ModelVersion, ServeConfig, VersionDraft, parse_reference
from tests.simulators.records import SERVE, digest, draft


def test_a_record_reads_back_through_json() -> None:
    """What is stored is what was published."""
    version = draft(parent="tiny/1").numbered(2)
    again = ModelVersion.from_json(json.loads(canonical_json(version.to_json())))
    assert again == version
    assert VersionDraft.from_json(draft().to_json()) == draft()


@given(st.text(max_size=20) | st.none(), st.lists(st.text(max_size=5)).map(tuple))
def test_a_serve_configuration_reads_back(template: str | None, extra: tuple[str, ...]) -> None:
    """Templates are text of any kind."""
    serve = replace(SERVE, chat_template=template, extra_args=extra)
    assert ServeConfig.from_json(json.loads(canonical_json(serve.to_json()))) == serve


@pytest.mark.parametrize(
    "change",
    [
        {"weights_set": digest("other")},
        {"runtime": digest("other")},
        {"serve": replace(SERVE, chat_template=None)},
        {"serve": replace(SERVE, extra_args=())},
        {"gpu_class": "h100"},
    ],
)
def test_each_part_of_the_triple_changes_the_release(change: dict[str, object]) -> None:
    """A new runtime or template has to be judged again."""
    assert draft(**change).release_digest != draft().release_digest


def test_where_weights_came_from_does_not_change_the_release() -> None:
    """The same weights made twice are judged once."""
    assert draft(source_uri="hf://acme/copy").release_digest == draft().release_digest


def test_number_and_parent_do_not_change_the_content() -> None:
    """What was live at the time is lineage, not identity."""
    assert draft(parent="tiny/1").numbered(7).content_digest == draft().content_digest
    assert draft(recipe={"scheme": "none"}).content_digest != draft().content_digest


def test_a_record_of_another_format_is_refused() -> None:
    """An older Headgate does not guess at a newer one's records."""
    with pytest.raises(ValueError, match="format 3, this Headgate reads formats 1 to 2"):
        ModelVersion.from_json(draft().numbered(1).to_json() | {"format": 3})


def test_a_record_of_format_1_stays_as_it_was_written() -> None:
    """Its bytes and its digest are those that evidence was given about."""
    old = draft(source_set=None).numbered(3).to_json()
    assert old["format"] == 1
    assert "source_set" not in old
    version = ModelVersion.from_json(old)
    assert version.source_set is None
    assert version.to_json() == old
    assert version.record_digest == Digest.of_json(old)


def test_a_newer_record_of_the_same_content_has_the_same_content_digest() -> None:
    """Releasing again what an older Headgate published is no new version."""
    assert draft(source_set=None).content_digest == draft().content_digest
    assert draft(source_set=None).numbered(1).record_digest != draft().numbered(1).record_digest


def test_a_record_of_format_2_names_its_source_set() -> None:
    """What format 2 is for cannot be missing from it."""
    record = draft().numbered(1).to_json()
    for damaged in ({**record, "source_set": None}, {k: v for k, v in record.items() if k != "source_set"}):
        with pytest.raises((KeyError, TypeError)):
            ModelVersion.from_json(damaged)


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True), st.integers(1, 999_999))
def test_references_read_back(name: str, number: int) -> None:
    """``parse_reference(version.reference)`` is the name and the number."""
    assert parse_reference(draft(name).numbered(number).reference) == (name, number)


@pytest.mark.parametrize(
    "text", ["tiny", "tiny/", "tiny/0", "tiny/-1", "tiny/x", "/1", "a/b/1", "Tiny/1", "t/1\n"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """Typos are errors, not lookups."""
    with pytest.raises(ValueError, match="not a"):
        parse_reference(text)


@pytest.mark.parametrize("name", ["", "Tiny", "-tiny", "a/b", "a b", "../x"])
def test_a_name_that_cannot_be_a_key_is_refused(name: str) -> None:
    """Names become keys and folders."""
    with pytest.raises(ValueError, match="not a name"):
        draft(name)
