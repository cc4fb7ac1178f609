"""What people and evidence are told of a load test."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from eval_suites.load_cost import cost_lines, price_per_million
from eval_suites.load_gate import judge_load
from eval_suites.load_report import LoadReport, to_facts, to_markdown
from eval_suites.load_spec import LoadSpec
from registry.digest import canonical_json
from tests.simulators.load import LOAD, Behaviour, report


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
    assert "- The server of the candidate held 3072 MiB at most." in lines
    assert "- The server of the source held 1024 MiB of accelerators at most." in lines


def test_failures_are_told_with_their_reason() -> None:
    """Summed over all runs of a side."""
    text = page(LOAD, report(Behaviour(broken={"3x": 0.1}), Behaviour()))
    assert "- Broke off on the candidate: 180 times boom" in text


def test_facts_are_plain_and_hold_the_medians() -> None:
    """What cannot be a number in JSON is null: nothing was answered there."""
    seen = report(Behaviour(broken={"3x": 1.0}), Behaviour(), lost={"source": "stopped answering at 3x"})
    facts = json.loads(canonical_json(to_facts(LOAD, seen)))
    assert facts["medians"]["candidate"]["3x"]["ttft_p95_ms"] is None
    assert facts["medians"]["source"]["1x"]["ttft_p50_ms"] == pytest.approx(100, rel=0.05)
    assert facts["load"]["peak_requests_per_second"] == 10
    assert facts["lost"] == {"source": "stopped answering at 3x"}


def test_the_price_of_a_million_tokens_follows_from_the_fullest_hour() -> None:
    """1000 tokens per second for 3.60 an hour are 1.00 a million; two accelerators share the work."""
    assert price_per_million(3.6, 1000) == pytest.approx(1.0)
    load = LoadSpec(peak_requests_per_second=1, gpu_price_per_hour=3.6, api_price_per_million_tokens=2.5)
    assert list(cost_lines(load, {"candidate": 40_000.0, "source": 2000.0, "lost": 0.0}, 2)) == [
        "The candidate gave 20000 tokens per second and accelerator: 0.05 per million at full load.",
        "The source gave 1000 tokens per second and accelerator: 1 per million at full load.",
        "The lost gave 0 tokens per second and accelerator.",
        "The API that was named takes 2.5 per million tokens.",
    ]


def test_nothing_is_said_of_prices_that_nobody_named() -> None:
    """The tokens per second are."""
    text = page(LOAD, report(Behaviour(), Behaviour()))
    assert "per million" not in text
    assert "tokens per second and accelerator." in text


def test_what_batching_gains_is_told_where_it_was_measured() -> None:
    """The same load on a server that takes one request at a time."""
    seen = report(Behaviour(), Behaviour())
    slow = report(Behaviour(ttft=lambda _step: 5000.0)).of("candidate", "1x")[0]
    unbatched = replace(slow, run=replace(slow.run, side="unbatched"))
    alone = LoadReport((*seen.trials, unbatched))
    assert "- Batching: " in page(LOAD, alone)
    assert "- Batching: " not in page(LOAD, seen)
