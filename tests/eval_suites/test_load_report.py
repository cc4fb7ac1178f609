"""What people and evidence are told of a load test."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from eval_suites.load_cost import Throughput, cost_lines, price_per_million
from eval_suites.load_gate import judge_load
from eval_suites.load_report import LoadReport, to_facts, to_markdown
from eval_suites.load_runs import FACTORS, batching_runs
from eval_suites.load_spec import LoadSpec
from registry.digest import canonical_json
from tests.simulators.load import LOAD, Behaviour, deaths, report


def page(load: LoadSpec, seen: LoadReport, gpus: int = 1) -> str:
    return to_markdown(load, seen, judge_load(load, seen, "source"), gpus)


def test_the_report_has_the_answer_first_and_every_step() -> None:
    """Then findings, then figures, each table row with as many cells as its head."""
    text = page(
        LOAD, report(Behaviour(), Behaviour(), memory={"candidate": 3 << 30}, gpu_memory={"source": 1 << 30})
    )
    lines = text.splitlines()
    assert lines[0] == "# Load gate: pass"
    assert "Passed: the release bears the declared peak" in lines[2]
    rows = [
        line for line in lines if line.startswith(("| Load", "| 1x |", "| 2x |", "| 3x |", "| 1x again |"))
    ]
    assert len(rows) == 1 + 4 * 2
    assert {row.count("|") for row in rows} == {rows[0].count("|")}
    assert "- The server of the candidate held 3 GiB at most." in lines
    assert "- The server of the source held 1 GiB of accelerators at most." in lines


def test_failures_are_told_with_their_reason() -> None:
    """Summed over all runs of a side."""
    text = page(LOAD, report(Behaviour(broken={"3x": 0.1}), Behaviour()))
    assert "- Broke off on the candidate: 180 times boom" in text


def test_facts_are_plain_and_hold_the_medians() -> None:
    """What cannot be a number in JSON is null: nothing was answered there."""
    seen = report(Behaviour(broken={"3x": 1.0}), Behaviour(), deaths=deaths("source", 1))
    facts = json.loads(canonical_json(to_facts(LOAD, seen)))
    assert facts["medians"]["candidate"]["3x"]["ttft_p95_ms"] is None
    assert facts["medians"]["source"]["1x"]["ttft_p50_ms"] == pytest.approx(100, rel=0.05)
    assert facts["load"]["peak_requests_per_second"] == 10
    lost = {"side": "source", "step": "3x", "how": "stopped answering at 3x", "outside": False}
    assert facts["deaths"] == [lost]
    assert facts["batching"] is None


def test_the_price_of_a_million_tokens_follows_from_the_fullest_hour() -> None:
    """1000 tokens per second for 3.60 an hour are 1.00 a million; two accelerators share the work."""
    assert price_per_million(3.6, 1000) == pytest.approx(1.0)
    load = LoadSpec(peak_requests_per_second=1, gpu_price_per_hour=3.6, api_price_per_million_tokens=2.5)
    fastest = {
        "candidate": Throughput(tokens_per_second=40_000, step="3x", saturated=False),
        "source": Throughput(tokens_per_second=2000, step="2x", saturated=True),
        "lost": Throughput(tokens_per_second=0, step="1x", saturated=True),
    }
    given, fast = "tokens per second and accelerator at", "its fastest step, and was"
    assert list(cost_lines(load, fastest, 2)) == [
        f"The candidate gave 20000 {given} 3x, {fast} not saturated, so a million of them cost at most 0.05.",
        f"The source gave 1000 {given} 2x, {fast} saturated: a million of them cost 1.",
        "The lost gave 0 tokens per second and accelerator.",
        "A million tokens of the API that was named cost 2.5.",
        "Prices are in the currency in which the spec has them, one for all.",
    ]


def test_a_server_that_kept_up_is_not_said_to_be_full() -> None:
    """One that answers all as fast as it is asked, however long each takes; one that queues or refuses is."""
    seen = report(Behaviour(), Behaviour(turned_away={"3x": 0.3}))
    text = page(LOAD, seen)
    assert "at 3x, its fastest step, and was not saturated." in text
    assert "at 3x, its fastest step, and was saturated." in text
    queued = [replace(t, duration=t.duration * FACTORS[t.run.step]) for t in seen.trials]
    assert "not saturated" not in page(LOAD, replace(seen, trials=tuple(queued)))


def test_nothing_is_said_of_prices_that_nobody_named() -> None:
    """The tokens per second are."""
    text = page(LOAD, report(Behaviour(), Behaviour()))
    assert "per million" not in text
    assert "currency" not in text
    assert "tokens per second and accelerator at 3x" in text


def test_what_batching_gains_is_told_where_it_was_measured() -> None:
    """The time that the same requests take both ways; where one was not answered there is nothing to tell."""
    seen = report(Behaviour(), Behaviour())
    _, together, alone = (replace(seen.trials[0], run=run, e2e=np.ones(20)) for run in batching_runs(LOAD))
    both = (replace(together, duration=4.0), replace(alone, duration=90.0))
    text = page(LOAD, replace(seen, trials=(*seen.trials, *both)))
    gain = (
        "- Batching: 20 requests were answered in 4 s, and the same ones in 90 s when served one at a time."
    )
    assert gain in text.splitlines()
    assert "unbatched" not in text
    facts = to_facts(LOAD, replace(seen, trials=(*seen.trials, *both)))
    assert facts["batching"] == {"requests": 20, "together": 4.0, "alone": 90.0}
    assert facts["medians"].keys() == {"candidate", "source"}
    cut = replace(both[1], e2e=np.ones(19))
    assert "- Batching: " not in page(LOAD, replace(seen, trials=(*seen.trials, both[0], cut)))


def test_servers_that_were_lost_are_told_as_text() -> None:
    """What a log ended with stays in its cell, and is no tag."""
    last = replace(deaths("candidate", 1)[0], how="stopped answering at 3x (its last lines: <b>a|b)")
    text = page(LOAD, report(Behaviour(), Behaviour(), deaths=(last,)))
    assert "(its last lines: &lt;b>a\\|b); started anew it bore the same run" in text
