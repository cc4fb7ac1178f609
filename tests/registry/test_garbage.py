"""What must stay and what may go: every reason to stay, and nothing without one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.alias import Alias, Aliases, moved
from registry.alias_move import Move
from registry.descriptor import MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest
from registry.errors import UsageError
from registry.garbage import (
    Cutoff,
    File,
    Found,
    Image,
    Kind,
    Retention,
    bytes_freed,
    dead_images,
    live_versions,
    plan,
    version_of,
)
from tests.simulators.records import digest

NOW = datetime(2026, 11, 20, tzinfo=UTC)
NONE = Retention(rollbacks=0, rollback_seconds=0)


def _moves(*numbers: int, days_apart: float = 10) -> list[Move]:
    """Production moves, the last one now."""
    aliases, moves = Aliases(), []
    for place, number in enumerate(numbers, 1):
        after = moved(aliases, Alias.PRODUCTION, number)
        at = NOW - timedelta(days=days_apart) * (len(numbers) - place)
        moves.append(
            Move(
                number=place,
                name="tiny",
                gpu_class="cpu",
                alias=Alias.PRODUCTION,
                before=aliases,
                after=after,
                version=digest(str(number)),
                at=at.isoformat(),
                who="ada",
                why="",
            )
        )
        aliases = after
    return moves


def test_every_alias_keeps_its_version() -> None:
    """Also the one that a rollback would go to."""
    aliases = {("tiny", "cpu"): Aliases(4, 3, 2, 1), ("tiny", "h100"): Aliases(candidate=4)}
    live = live_versions(aliases, [], [], [], NOW, NONE)
    assert live == {
        "tiny/1": ["previous on cpu"],
        "tiny/2": ["production on cpu"],
        "tiny/3": ["staging on cpu"],
        "tiny/4": ["candidate on cpu", "candidate on h100"],
    }


def test_fleets_and_pins_keep_theirs() -> None:
    """A replica must be able to start again; a pin is somebody's word."""
    live = live_versions({}, [], ["tiny-v7", "not one of ours"], ["tiny/2"], NOW, NONE)
    assert live == {"tiny/2": ["pinned"], "tiny/7": ["in a fleet"]}


@pytest.mark.parametrize(
    ("revision", "version"),
    [("tiny-v3", "tiny/3"), ("a-v1-v22", "a-v1/22"), ("tiny", None), ("tiny-v0", None), ("-v1", None)],
)
def test_a_revision_is_a_version_or_nothing(revision: str, version: str | None) -> None:
    """Names may have numbers in them."""
    assert version_of(revision) == version


def test_the_rollback_window_counts_versions() -> None:
    """The last two that were live before the present one, however long ago."""
    retention = Retention(rollbacks=2, rollback_seconds=0)
    assert list(live_versions({}, _moves(1, 2, 3, 4), [], [], NOW, retention)) == ["tiny/2", "tiny/3"]


def test_the_rollback_window_counts_days() -> None:
    """What was live within the time stays, however many came since."""
    retention = Retention(rollbacks=0, rollback_seconds=15 * 86400)
    live = live_versions({}, _moves(1, 2, 3, 4), [], [], NOW, retention)
    assert live == {
        "tiny/2": ["was in production on cpu until 2026-11-10"],
        "tiny/3": ["was in production on cpu until 2026-11-20"],
    }


def test_a_version_that_came_back_counts_from_its_last_day() -> None:
    """One was live twice: its second time counts."""
    retention = Retention(rollbacks=1, rollback_seconds=0)
    assert list(live_versions({}, _moves(1, 2, 1, 3), [], [], NOW, retention)) == ["tiny/1"]


@pytest.mark.parametrize("at", ["", "yesterday", "2026-11-19T00:00:00", "2999-01-01T00:00:00+00:00"])
def test_a_time_that_cannot_be_told_keeps_the_version(at: str) -> None:
    """Doubt is never a reason to remove."""
    moves = [replace(move, at=at) for move in _moves(1, 2)]
    retention = Retention(rollbacks=0, rollback_seconds=7 * 86400)
    assert list(live_versions({}, moves, [], [], NOW, retention)) == ["tiny/1"]


@given(
    numbers=st.lists(st.integers(1, 6), max_size=12),
    rollbacks=st.integers(0, 4),
    days=st.integers(0, 80),
)
def test_keeping_more_never_keeps_less(numbers: list[int], rollbacks: int, days: int) -> None:
    """The window only grows with either bound, and has at least as many versions as it was asked for."""
    moves = _moves(*numbers)
    few = Retention(rollbacks=rollbacks, rollback_seconds=days * 86400)
    live = live_versions({}, moves, [], [], NOW, few)
    assert len(live) >= min(rollbacks, len({m.before.production for m in moves} - {None}))
    for more in (
        replace(few, rollbacks=rollbacks + 1),
        replace(few, rollback_seconds=few.rollback_seconds + 86400),
    ):
        assert set(live) <= set(live_versions({}, moves, [], [], NOW, more))


def test_less_than_no_time_is_refused() -> None:
    """A negative grace period would remove what is being written. One sentence says so, for people."""
    with pytest.raises(UsageError, match=r"less than no time\. Next: name durations such as 30d or 12h\.$"):
        Retention(grace_seconds=-1)
    with pytest.raises(UsageError, match=r"cannot keep -1 earlier versions .* Next: name how many"):
        Retention(rollbacks=-1)


def test_nothing_that_a_live_run_may_use_is_old_enough() -> None:
    """A run that began before the grace period moves the cutoff; logs are kept longer."""
    retention = Retention(grace_seconds=100, log_seconds=1000)
    assert Cutoff.at(5000.0, retention, []) == Cutoff(4900.0, 4000.0)
    assert Cutoff.at(5000.0, retention, [4950.0, 3000.0]) == Cutoff(3000.0, 3000.0)


def test_only_what_is_old_and_not_live_goes() -> None:
    """In an order in which nothing goes before what refers to it."""
    found = [
        Found(Kind.BLOB, "dead", 1.0),
        Found(Kind.BLOB, "live", 1.0),
        Found(Kind.BLOB, "young", 9.0),
        Found(Kind.WEIGHTS, "dead", 1.0),
        Found(Kind.RUN, "recent", 3.0),
        Found(Kind.RUN, "old", 1.0),
    ]
    going = plan(found, {Kind.BLOB: {"live"}}, Cutoff(before=5.0, logs=2.0))
    assert [(item.kind, item.name) for item in going] == [
        (Kind.RUN, "old"),
        (Kind.WEIGHTS, "dead"),
        (Kind.BLOB, "dead"),
    ]


def test_bytes_are_free_when_the_last_name_goes() -> None:
    """A weights folder that shares its data with a blob that stays frees nothing."""
    shared, alone = File(1, 2, 100), File(2, 1, 10)
    folder, blob = Found(Kind.WEIGHTS, "f", 0.0, (shared, alone)), Found(Kind.BLOB, "b", 0.0, (shared,))
    assert bytes_freed([folder]) == {Kind.WEIGHTS: 10}
    assert bytes_freed([folder, blob]) == {Kind.WEIGHTS: 10, Kind.BLOB: 100}


@given(links=st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=20))
def test_bytes_freed_are_those_of_data_without_a_name_left(links: list[tuple[int, bool]]) -> None:
    """Whatever is shared between what goes and what stays."""
    names = [inode for inode, _ in links]
    files = [(File(inode, names.count(inode), 2**inode), goes) for inode, goes in links]
    going = [Found(Kind.BLOB, str(n), 0.0, (file,)) for n, (file, goes) in enumerate(files) if goes]
    gone = {inode for inode in names if all(goes for i, goes in links if i == inode)}
    assert sum(bytes_freed(going).values()) == sum(2**inode for inode in gone)


def _image(name: str, used: float = 0.0, *, ours: bool = True, subject: Digest | None = None) -> Image:
    return Image(Descriptor(MANIFEST_MEDIA_TYPE, digest(name), 1), used, ours, subject)


def test_an_image_goes_with_its_referrers() -> None:
    """Ours go when no live version has them; other tools' never do, nor what refers to them."""
    live, dead, young = _image("live"), _image("dead"), _image("young", 9.0)
    foreign = _image("foreign", ours=False)
    images = [live, dead, young, foreign]
    lists = [_image(f"of {n}", subject=image.entry.digest) for n, image in enumerate(images)]
    late = _image("late", 9.0, subject=dead.entry.digest)
    going = dead_images([*images, *lists, late], {live.entry.digest.hex}, 5.0)
    assert going == [dead, lists[1]]
