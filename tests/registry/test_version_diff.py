"""Differences between versions: found in every part of a release, and none between a version and itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judging.verdict import Outcome
from registry.digest import canonical_json
from registry.manifest import Manifest, ManifestEntry
from registry.version_contents import Contents
from registry.version_diff import Change, Difference, compare
from tests.simulators.history import evidence_of, signed
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import SERVE, digest, draft

SIGNER, TRUST = signer_and_trust()
CONFIG = {"rope": {"theta": 10000.0, "scaling": None}, "layers": 2}


def contents(
    number: int = 1, config: Any = CONFIG, sizes: tuple[int, ...] = (10, 20), **changes: Any
) -> Contents:
    """A version with two files and a configuration."""
    files = {f"{n}.safetensors": ManifestEntry(digest(f"{n} {size}"), size) for n, size in enumerate(sizes)}
    manifest = Manifest(files)
    serve = changes.pop("serve", replace(SERVE, chat_template=None))
    version = draft(**{"weights_set": manifest.set_digest, "serve": serve, **changes}).numbered(number)
    text = config if isinstance(config, str) else json.dumps(config)
    return Contents(version=version, files=manifest, texts={"config.json": text})


def changes_in(difference: Difference, title: str) -> tuple[Change, ...]:
    return next(section.changes for section in difference.sections if section.title == title)


def note_of(difference: Difference, title: str) -> str:
    return next(section.note for section in difference.sections if section.title == title)


def test_a_version_does_not_differ_from_itself() -> None:
    """Nothing is found where nothing is."""
    difference = compare(contents(), contents(2))
    assert (difference.changed, difference.template, difference.gates) == ([], (), ())


@pytest.mark.parametrize(
    ("after", "title", "expected"),
    [
        ({"source_commit": "b" * 40}, "source", Change("commit", "a" * 40, "b" * 40)),
        ({"recipe": {"scheme": "awq", "bits": 8, "group_size": 128}}, "recipe", Change("bits", 4, 8)),
        ({"recipe": {"scheme": "awq", "group_size": 128}}, "recipe", Change("bits", 4, None)),
        ({"engine": {"autoawq": "0.3.0"}}, "engine packages", Change("autoawq", "0.2.9", "0.3.0")),
        ({"gpu_class": "h100"}, "serve configuration", Change("gpu_class", "cpu", "h100")),
        (
            {"serve": replace(SERVE, chat_template=None, dtype="bfloat16")},
            "serve configuration",
            Change("dtype", "float16", "bfloat16"),
        ),
        (
            {"config": {"rope": {"theta": 20000.0, "scaling": None}, "layers": 2}},
            "model configuration",
            Change("config.json: rope.theta", 10000.0, 20000.0),
        ),
        (
            {"runtime": digest("other")},
            "runtime packages",
            Change("runtime", str(digest("runtime")), str(digest("other"))),
        ),
    ],
)
def test_each_part_of_a_release_is_compared(after: dict[str, Any], title: str, expected: Change) -> None:
    """One change in one part is one change there, and none elsewhere."""
    difference = compare(contents(), contents(2, **after))
    assert changes_in(difference, title) == (expected,)
    assert difference.changed == [title]


def test_weights_are_compared_by_file() -> None:
    """Changed, added and removed files, with their sizes, and the sum."""
    difference = compare(contents(sizes=(10, 20)), contents(2, sizes=(10, 30, 40)))
    changed, added, total = changes_in(difference, "weights")
    assert (changed.what, changed.before["size"], changed.after["size"]) == ("1.safetensors", 20, 30)
    assert (added.before, added.after["size"]) == (None, 40)
    assert (total.before, total.after) == (30, 80)


def test_without_a_list_of_files_the_digests_are_compared() -> None:
    """And the section says what is not in the store."""
    absent = replace(contents(2, sizes=(1,)), files=None)
    difference = compare(contents(), absent)
    (change,) = changes_in(difference, "weights")
    assert (change.what, change.after) == ("all files", str(absent.version.weights_set))
    assert "tiny/2" in note_of(difference, "weights")
    assert changes_in(compare(absent, absent), "weights") == ()


def test_runtimes_are_compared_by_package() -> None:
    """From the bills of materials; a runtime of the same versions but other files is still another one."""
    first, second = contents(), contents(2, runtime=digest("other"))
    with_bills = [
        replace(side, evidence=tuple(signed(e, SIGNER, TRUST) for e in evidence_of(side.version, day=day)))
        for side, day in ((first, 1), (second, 2))
    ]
    assert changes_in(compare(*with_bills), "runtime packages") == (Change("vllm", "0.1.0", "0.2.0"),)
    same = replace(second, evidence=tuple(signed(e, SIGNER, TRUST) for e in evidence_of(second.version)))
    (change,) = changes_in(compare(with_bills[0], same), "runtime packages")
    assert change.what == "installed files"


def test_configuration_that_is_not_here_is_not_a_removal() -> None:
    """Collected bytes say nothing about what was in them."""
    gone = replace(contents(2), texts={}, gone=("config.json",))
    difference = compare(contents(), gone)
    assert changes_in(difference, "model configuration") == ()
    assert "config.json of tiny/2" in note_of(difference, "model configuration")


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, '"x"'])
def test_configuration_that_is_no_json_is_named(text: str) -> None:
    """It is compared as a file, and the note says why not by key."""
    difference = compare(contents(config=text), contents(2, config=text))
    assert "no JSON: config.json of tiny/1" in note_of(difference, "model configuration")


def test_a_number_that_is_none_equals_itself() -> None:
    """NaN in a configuration is the same in both versions."""
    text = '{"eps": NaN}'
    assert compare(contents(config=text), contents(2, config=text)).changed == []


@pytest.mark.parametrize(
    ("texts", "serve"),
    [
        ({"chat_template.jinja": "new\nsame\n"}, None),
        ({"tokenizer_config.json": '{"chat_template": "new\\nsame\\n"}'}, None),
        ({"chat_template.jinja": "unused", "tokenizer_config.json": "{}"}, "new\nsame\n"),
    ],
)
def test_the_template_that_is_used_is_compared_by_line(texts: dict[str, str], serve: str | None) -> None:
    """The release's own wins over the model's file, which wins over the tokenizer's entry."""
    before = replace(contents(), texts={"chat_template.jinja": "old\nsame\n"})
    after = replace(contents(2, serve=replace(SERVE, chat_template=serve)), texts=texts)
    difference = compare(before, after)
    assert difference.template == ("--- tiny/1", "+++ tiny/2", "@@ -1,2 +1,2 @@", "-old", "+new", " same")
    assert "chat template" in difference.changed


def test_gates_stand_side_by_side() -> None:
    """Also where nothing changed, and where only one version was judged."""
    first, second = (
        replace(side, evidence=tuple(signed(e, SIGNER, TRUST) for e in evidence_of(side.version, **how)))
        for side, how in (
            (contents(), {"score": 0.71}),
            (contents(2, sizes=(1,)), {"score": 0.68, "quality": Outcome.FAIL, "day": 2}),
        )
    )
    difference = compare(first, second)
    measured = {(m.gate, m.name): (m.before, m.after) for m in difference.gates}
    before, after = measured["quality", "source/arith"]
    assert before
    assert after
    assert (before.candidate, before.outcome) == (0.71, Outcome.PASS)
    assert (after.candidate, after.outcome) == (0.68, Outcome.FAIL)
    assert measured["scan", "packages"][0] == measured["scan", "packages"][1]
    alone = compare(first, replace(second, evidence=()))
    assert {m.after for m in alone.gates} == {None}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), st.dictionaries(st.text(max_size=5), VALUES))
def test_comparing_either_way_finds_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Any JSON, and the result is JSON again; equal ones do not differ."""
    there, back = (
        compare(contents(config=a), contents(2, config=b)) for a, b in ((one, other), (other, one))
    )
    canonical_json(there.to_json())
    swapped = tuple(Change(c.what, c.after, c.before) for c in changes_in(back, "model configuration"))
    assert changes_in(there, "model configuration") == swapped
    assert compare(contents(config=one), contents(2, config=one)).changed == []
