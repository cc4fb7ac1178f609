"""Lines from bytes: progress bars, broken encodings, and chunks cut anywhere."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tasks.lines import LONGEST, LineSplitter


def split(*chunks: bytes) -> list[str]:
    """All lines of a stream that arrives in these chunks."""
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.close()


def test_a_progress_bar_becomes_lines() -> None:
    """tqdm rewrites one line; each state is a line, and nothing empty is left between."""
    assert split(b"\r 0%|  |\r 50%|# |\r100%|##|\ndone\n") == [" 0%|  |", " 50%|# |", "100%|##|", "done"]


def test_windows_line_ends_are_one_end_even_when_cut_in_two() -> None:
    """No empty line appears where a chunk ends between the two characters."""
    assert split(b"a\r", b"\nb\r\n", b"c") == ["a", "b", "c"]


def test_empty_lines_of_a_text_stay() -> None:
    """Only those a bar makes are dropped."""
    assert split(b"a\n\nb\n") == ["a", "", "b"]


def test_a_character_cut_in_two_is_whole_and_a_broken_one_is_replaced() -> None:
    """UTF-8 is decoded across chunks, and never raises."""
    euro = "€".encode()
    assert split(euro[:1], euro[1:] + b"\n", b"\xff!\n") == ["€", "\ufffd!"]


def test_a_line_without_an_end_is_cut() -> None:
    """Memory stays bounded, and pieces come before the line ends."""
    splitter = LineSplitter()
    assert splitter.feed(b"x" * (LONGEST + 1)) == ["x" * LONGEST]
    assert splitter.close() == ["x"]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_the_lines_do_not_depend_on_the_chunks(data: bytes, cuts: list[int]) -> None:
    """However the kernel cuts the stream, the log is the same."""
    points = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in pairwise(points)]
    assert split(*chunks) == split(data)


@given(st.text(alphabet="ab\r\n", max_size=60), st.integers(0, 60))
def test_line_ends_may_be_cut_anywhere(text: str, cut: int) -> None:
    """The hard alphabet for the law above: almost only line ends."""
    data = text.encode()
    assert split(data[:cut], data[cut:]) == split(data)
