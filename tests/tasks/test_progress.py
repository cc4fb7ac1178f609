"""Progress reports: where they go."""

from __future__ import annotations

from tasks.progress import byte_counter, progress_of, report, set_reporter


def test_reports_reach_the_reporter_and_the_one_before_comes_back() -> None:
    """A command line can listen for a while and hand back."""
    heard: list[tuple[str, str, float | None]] = []
    previous = set_reporter(lambda *what: heard.append(what))
    try:
        report("fetch", "looking")
        progress_of("fetch")("half way", 0.5)
        progress_of("fetch")("more bytes than promised", 1.2)
    finally:
        set_reporter(previous)
    report("fetch", "nobody hears this")
    assert heard == [
        ("fetch", "looking", None),
        ("fetch", "half way", 0.5),
        ("fetch", "more bytes than promised", 1.0),
    ]


def test_bytes_are_told_of_all_a_hundred_times_at_most() -> None:
    """More of them than announced are all there are."""
    heard: list[tuple[str, str, float | None]] = []
    previous = set_reporter(lambda *what: heard.append(what))
    try:
        count = byte_counter("check", lambda: 2000)
        for _ in range(1000):
            count(2)
        count(500)
    finally:
        set_reporter(previous)
    assert len(heard) == 100
    assert heard[0] == ("check", "20 B of 2.0 kB", 0.01)
    assert heard[-1] == ("check", "2.0 kB of 2.0 kB", 1.0)
