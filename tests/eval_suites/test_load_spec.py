"""What a load section may say: nothing that contradicts itself, or that no machine can send."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eval_suites.load_runs import FACTORS, patience, runs_of
from eval_suites.load_spec import LoadSpec
from registry.validation import explain

HUGE = st.sampled_from([1e12, 1e300, 10**400, 0, -1, 1e-300])


def told(**section: Any) -> str:
    """What a person reads of a section that is refused."""
    with pytest.raises(ValidationError) as caught:
        LoadSpec.model_validate({"peak_requests_per_second": 5, **section})
    return str(explain(caught.value, LoadSpec, "load"))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            {"ttft_p50_ms": 300, "ttft_p95_ms": 200},
            "ttft_p50_ms (300) is above ttft_p95_ms (200): what 95 % of requests keep, 50 %",
        ),
        ({"tpot_p99_ms": 50}, "tpot_p95_ms (100, the default) is above tpot_p99_ms (50)"),
        ({"e2e_p50_ms": 900, "e2e_p99_ms": 800}, "e2e_p50_ms (900) is above e2e_p99_ms (800)"),
        (
            {"ttft_p50_ms": 400, "e2e_p50_ms": 300},
            "ttft_p50_ms (400) is above e2e_p50_ms (300): an answer is not whole before its first token",
        ),
        ({"e2e_p95_ms": 300}, "ttft_p95_ms (500, the default) is above e2e_p95_ms (300)"),
    ],
)
def test_objectives_that_contradict_each_other_are_refused(section: dict[str, Any], said: str) -> None:
    """Naming both, also where one is the default that nobody wrote."""
    assert said in told(**section)


def test_objectives_may_be_equal() -> None:
    """Strict, and no contradiction."""
    LoadSpec(peak_requests_per_second=5, ttft_p50_ms=500, ttft_p99_ms=500, e2e_p95_ms=500, e2e_p99_ms=500)


def test_a_run_has_no_more_requests_than_can_be_sent() -> None:
    """Counted at the highest step, three times the peak."""
    assert "are 97,200,000 requests in one run" in told(peak_requests_per_second=9000, seconds=3600)
    most = LoadSpec(peak_requests_per_second=1000, seconds=333)
    assert max(run.requests for run in runs_of(most, ["candidate"])) == max(FACTORS.values()) * 333_000


@given(
    st.dictionaries(
        st.sampled_from(sorted(LoadSpec.model_fields.keys() - {"show_batching"})), HUGE, min_size=1
    )
)
def test_no_number_is_too_large_for_what_is_made_of_it(section: dict[str, Any]) -> None:
    """It is refused, or runs and their time limits follow from it."""
    try:
        load = LoadSpec.model_validate({"peak_requests_per_second": 5, **section})
    except ValidationError:
        return
    assert patience(load) < 10**7
    assert runs_of(load, ["candidate"])
