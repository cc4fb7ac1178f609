"""The policy file: what it may say, and how mistakes in it are told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import UsageError
from registry.home import Home
from registry.policy import DEFAULT, Requirement
from registry.policy_file import load_policy, parse_duration, read_policy

EXAMPLE = """
production:
  - kind: quality
    max_age: 30d
  - kind: approval
    count: 2
    four_eyes: true
    signed_by: [ann, bob]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text)
    return path


def test_without_a_file_the_default_holds(tmp_path: Path) -> None:
    """A new home needs no setting up."""
    assert load_policy(Home(tmp_path)) == DEFAULT


def test_a_policy_says_what_each_alias_needs(tmp_path: Path) -> None:
    """What is left out stays the default."""
    written(tmp_path, EXAMPLE)
    policy = load_policy(Home(tmp_path))
    assert policy.staging == DEFAULT.staging
    assert policy.production == (
        Requirement(kind="quality", max_age=timedelta(days=30)),
        Requirement(kind="approval", count=2, four_eyes=True, signed_by=frozenset({"ann", "bob"})),
        Requirement(kind="release"),
    )


def test_a_release_is_asked_for_once(tmp_path: Path) -> None:
    """Written down or not: nothing else binds a record to what was judged."""
    silent = read_policy(written(tmp_path, "staging: [{kind: scan}]"))
    assert silent == read_policy(written(tmp_path, "staging: [{kind: scan}, {kind: release}]"))
    assert silent.staging == (Requirement(kind="scan"), Requirement(kind="release"))


def test_a_section_may_ask_for_nothing(tmp_path: Path) -> None:
    """Empty is not the same as left out."""
    assert read_policy(written(tmp_path, "staging: []")).staging == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prodution: []", r"prodution: unknown key; did you mean 'production'\?"),
        ("production: [{kind: qualty}]", r"production\[0\]\.kind: 'qualty' .* did you mean 'quality'\?"),
        (
            "production: [{kind: rollout}]",
            r"production\[0\]\.kind: 'rollout' is nothing a policy can ask for",
        ),
        ("production: [{kind: scan, max_age: 9}]", r"\[0\]\.max_age: must be a duration such as 90d"),
        ("production: [{kind: scan, max_age: 0d}]", r"\[0\]\.max_age: must be a duration such as 90d"),
        ("production: [{kind: sbom, max_age: 9d}]", r"max_age: evidence of the kind sbom has no date"),
        ("production: [{kind: scan, count: 0}]", r"count: 0 signatures"),
        ("production: [{kind: scan, count: yes}]", r"\[0\]\.count: .*not True"),
        ("production: [{kind: scan, signed_by: [Ann!]}]", r"signed_by: not a name"),
        ("production: [{kind: release, four_eyes: true}]", r"four_eyes: a release is signed by"),
        ("production: [{max_age: 9d}]", r"production\[0\]\.kind: is required"),
        ("production: [scan]", r"production\[0\]"),
        ("production: [{kind: scan, kind: sbom}]", r"'kind' is given twice"),
        ("[]", r"holds no keys"),
        ("production: !!python/object:os.system []", r"tag .* is not allowed"),
    ],
)
def test_a_mistake_is_told_by_its_path(tmp_path: Path, text: str, told: str) -> None:
    """One sentence, with what was probably meant."""
    with pytest.raises(UsageError, match=told):
        read_policy(written(tmp_path, text))


@given(st.integers(1, 99_999), st.sampled_from("mhdw"))
def test_durations(count: int, unit: str) -> None:
    """A number and a unit."""
    seconds = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
    assert parse_duration(f"{count}{unit}").total_seconds() == count * seconds[unit]


@given(st.text(max_size=8))
def test_anything_else_is_no_duration(text: str) -> None:
    """Whatever was typed, the error is the same sentence."""
    try:
        assert parse_duration(text) > timedelta(0)
    except ValueError as problem:
        assert "90d" in str(problem)  # noqa: PT017 - most texts raise, a few do not


def test_the_example_is_a_policy() -> None:
    """It explains every key, and its staging is what holds without a file, as it says."""
    policy = read_policy(Path(__file__).parents[2] / "examples" / "policy.yaml")
    assert policy.staging == DEFAULT.staging
    assert policy.production[-1] == Requirement(kind="approval", four_eyes=True)
