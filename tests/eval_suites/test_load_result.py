"""The file that vLLM's load generator writes, as the pinned version wrote it, and other JSON."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from eval_suites.load_result import read_trial
from eval_suites.load_runs import LoadRun
from tests.simulators.json_values import any_json, mangled

# Twelve requests for four tokens each, at a server that turned three away and broke five streams off.
REAL = Path(__file__).resolve().parents[1] / "fixtures" / "load" / "vllm-0.32.json"
RUN = LoadRun(side="candidate", step="1x", repeat=0, rate=60, requests=12, seed=1)


def real(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(REAL.read_text())
    return value | changes


def test_what_vllm_wrote_is_read() -> None:
    """It counts nine successes; five of them are streams that broke off with status 200."""
    trial = read_trial(RUN, 4, real())
    assert (trial.turned_away, trial.broken) == (3, {"the answer was cut off": 5})
    assert (trial.failed, trial.error_rate, trial.broken_rate) == (8, 8 / 12, 5 / 12)
    np.testing.assert_allclose(trial.ttft, [0.0598, 0.0757, 0.1115, 0.1260], atol=1e-4)
    np.testing.assert_allclose(trial.e2e - trial.ttft, 3 * trial.tpot)
    assert (trial.tokens, trial.output_tokens) == (111 + 111 + 105 + 111 + 16, 16)
    assert trial.offered == pytest.approx(60, rel=0.02)
    assert trial.good(ttft=0.1, tpot=0.1) == 2


def test_a_broken_connection_is_told_by_the_last_line_of_its_traceback() -> None:
    """What vLLM keeps is the whole traceback."""
    errors = ["Traceback (most recent call last):\n  File ...\naiohttp.ClientOSError: refused\n"] * 12
    nothing = {"ttfts": [0.0] * 12, "latencies": [0.0] * 12, "output_lens": [0] * 12}
    trial = read_trial(RUN, 4, real(errors=errors, completed=0, failed=12, **nothing))
    assert trial.broken == {"aiohttp.ClientOSError: refused": 12}
    assert trial.error_rate == 1


@pytest.mark.parametrize("reason", ["Too Many Requests", "Service Unavailable"])
def test_a_server_that_says_later_turns_away(reason: str) -> None:
    """429, and the 503 of vLLM's own limits on its queue."""
    errors = [reason if error else "" for error in real()["errors"]]
    assert read_trial(RUN, 4, real(errors=errors)).turned_away == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ttfts": [0.1] * 11}, "ttfts is no list of 12"),
        ({"latencies": [math.nan] * 12}, "latencies has nan where a number"),
        ({"start_times": [True] * 12}, "start_times has True"),
        ({"output_lens": [-1] * 12}, "output_lens has -1"),
        ({"errors": [None] * 12}, "its errors are not text"),
        ({"completed": 12, "failed": 0}, "it counts 12 answers and 0 failures of 12 requests, and lists 9"),
        ({"failed": 2}, "it counts 9 answers"),
        ({"duration": None}, "duration has None"),
        ({"duration": 0}, "duration"),
    ],
)
def test_another_file_is_refused(changes: dict[str, Any], said: str) -> None:
    """Each with what is wrong in it."""
    with pytest.raises(ValueError, match=said):
        read_trial(RUN, 4, real(**changes))


@given(any_json())
def test_any_other_json_is_refused(value: Any) -> None:
    """Never read as something, never another exception."""
    with pytest.raises(ValueError, match=r".+"):
        read_trial(RUN, 4, value)


@given(mangled(real()))
def test_one_wrong_value_is_refused_or_no_matter(value: Any) -> None:
    """The same, with one part of it changed or gone."""
    with suppress(ValueError):
        assert read_trial(RUN, 4, value).run == RUN
