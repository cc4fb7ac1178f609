"""Access log lines become records; torn, partial and foreign lines do no harm."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.access_log import RequestRecord, parse_chunk, parse_line
from fleet.observation import RevisionStats, tally
from registry.errors import InfrastructureError

LINE = {
    "arm": "m-v2",
    "revision": "m-v2",
    "status": 200,
    "flags": "-",
    "stream_error": None,
    "ttft_us": 53600,
    "total_ms": 153,
    "prompt_tokens": 53,
    "completion_tokens": 11,
    "attempts": 1,
    "session": None,
    "fingerprint": "vllm-0.32.0-ad837a10",
    "started": "1795249707.371",
}


def line(**changes: object) -> bytes:
    return json.dumps({**LINE, **changes}).encode()


def record(**changes: object) -> RequestRecord:
    found = parse_line(line(**changes))
    assert found is not None
    return found


def test_a_streamed_answer_is_read_whole() -> None:
    """Times become milliseconds, counts numbers, and dashes nothing."""
    found = record()
    assert (found.ttft_ms, found.total_ms, found.completion_tokens) == (53.6, 153.0, 11)
    assert found.started == 1795249707.371
    assert found.session is None
    assert (found.failed, found.aborted, found.refused) == (False, False, False)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 0, "flags": "-"},
        {"stream_error": "500"},
        {"flags": "UPE"},
        {"flags": "UC,UF"},
        {"status": 503, "flags": "UT"},
        {"attempts": 2, "revision": "m-v1"},
        {"stream_error": 500, "flags": "DC"},
    ],
)
def test_failures_behind_any_status_are_the_arms(fault: dict[str, object]) -> None:
    """Errors inside a 200, cut streams and hidden first attempts all count as errors."""
    assert record(**fault).failed


@pytest.mark.parametrize(
    "fault", [{"flags": "DC"}, {"status": 0, "flags": "DC"}, {"status": 499, "flags": "DC"}]
)
def test_a_client_that_left_is_aborted_not_failed(fault: dict[str, object]) -> None:
    """Nobody knows how such a request would have ended."""
    found = record(**fault)
    assert found.aborted
    assert not found.failed


@pytest.mark.parametrize("status", [400, 404, 429])
def test_a_user_error_is_refused(status: int) -> None:
    """4xx is neither success nor failure of the canary."""
    found = record(status=status)
    assert found.refused
    assert not found.failed


def test_a_torn_last_line_stays_unread() -> None:
    """It is read with the next look, once it is whole."""
    whole, torn = line() + b"\n", line()[:40]
    chunk = parse_chunk(whole + torn)
    assert len(chunk.records) == 1
    assert chunk.consumed == len(whole)


def test_a_line_torn_by_a_killed_gateway_is_passed_over() -> None:
    """One bad line among good ones is not worth stopping a rollout."""
    data = b"\n".join([line(), line()[:30] + line(), line(), b""])
    assert len(parse_chunk(data).records) == 2


@pytest.mark.parametrize("data", [b"what is this\nand this\n", b'{"some": "json"}\n', b"[1]\n"])
def test_another_programs_log_is_an_error(data: bytes) -> None:
    """Unknown lines are never 'no traffic'."""
    with pytest.raises(InfrastructureError, match=r"access\.log"):
        parse_chunk(data)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    """Any bytes give records, or nothing, or the one error."""
    try:
        chunk = parse_chunk(data)
    except InfrastructureError:
        return
    assert 0 <= chunk.consumed <= len(data)


@given(st.integers(0, 2000))
def test_reading_in_two_looks_gives_the_same_records(cut: int) -> None:
    """Wherever the first look ends, nothing is lost and nothing read twice."""
    data = b"".join(line(session=str(i)) + b"\n" for i in range(5))
    first = parse_chunk(data[:cut])
    second = parse_chunk(data[first.consumed :])
    assert [r.session for r in (*first.records, *second.records)] == list("01234")


def test_sums_follow_the_arm_that_was_chosen() -> None:
    """A request the canary failed and stable answered is the canary's error and nobody's latency."""
    records = [record(), record(attempts=2, revision="m-v1"), record(arm=None, revision="m-v1")]
    sums = tally(records, ["m-v1", "m-v2"])
    assert (sums["m-v2"].requests, sums["m-v2"].errors, sums["m-v2"].ttft.count) == (2, 1, 1)
    assert (sums["m-v1"].requests, sums["m-v1"].errors) == (1, 0)
    assert tally(records, ["other"]) == {"other": RevisionStats()}


def test_time_per_token_leaves_out_the_first() -> None:
    """(153 - 53.6) ms over the ten tokens after the first."""
    sums = tally([record()], ["m-v2"])["m-v2"]
    assert sums.token_ms == pytest.approx(9.94)
    assert sums.ttft_ms == pytest.approx(53.6)


def test_a_reply_without_token_counts_still_counts() -> None:
    """Answers that are not streamed carry no usage in the log."""
    sums = tally([record(prompt_tokens=None, completion_tokens="-", ttft_us=None)], ["m-v2"])["m-v2"]
    assert (sums.requests, sums.completion_tokens, sums.ttft.count, sums.token_ms) == (1, 0, 0, None)


def test_probes_of_the_gateway_are_no_evidence() -> None:
    """A health check every second would make any canary look good; what no model answered is not counted."""
    records = [record(method="GET"), record(method="HEAD"), record(method="POST"), record()]
    assert tally(records, ["m-v2"])["m-v2"].requests == 2
