"""Progress reports: where they go."""

from __future__ import annotations

from tasks.progress import progress_of, report, set_reporter


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
