"""The load gate of a release over simulated engines: its last gate, on the server that is there."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import pytest

from eval_suites import load_gate, load_runs
from registry.evidence import Evidence, list_evidence
from registry.key_ring import load_trust
from registry.publish import get_version
from tests.simulators.project import Project, failed, released, traffic

PEAK: dict[str, Any] = {
    "peak_requests_per_second": 40,
    "prompt_tokens": 8,
    "output_tokens": 4,
    "seconds": 0.1,
    "ttft_p95_ms": 5000,
    "max_ratio": 50,
    "max_error_rate": 0.05,
    "concurrency": 1,
    "cache_bytes_per_token": 8,
}


@pytest.fixture
def place(place: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Its runs are short, and cores busy: what many requests tell is for the judge's own tests."""
    monkeypatch.setattr(load_runs, "_FEWEST", 12)
    monkeypatch.setattr(load_gate, "_OFFERED", 0.1)
    return place.together()


def borne(place: Project, reference: str) -> list[Evidence]:
    """What the load gate said of a version."""
    version = get_version(place.store, reference)
    found = list_evidence(place.store, version.release_digest, load_trust(place.home))
    return [evidence for evidence in found if evidence.kind == "load"]


def runs(place: Project) -> int:
    """How often the load generator was started in all runs of the home."""
    return len([*place.home.runs.rglob("*load_vllm*/request.json")])


def test_a_release_that_bears_its_load_says_so_and_is_not_asked_again(place: Project) -> None:
    """Signed, beside its source; it spares the next run the load, whose page shows what was found.

    The load generator runs twice: for what is judged, and to show what batching gains.
    """
    place.push()
    result = released(place, load=PEAK)
    assert result["verdicts"]["load"] == "pass"
    (said,) = borne(place, result["version"])
    assert said.verdict
    assert {*said.facts["medians"]} == {"candidate", "source"}
    assert said.facts["batching"]["requests"] == 20
    assert "Batching: 20 requests" in Path(result["page"]).read_text()
    assert runs(place) == 2
    again = released(place, load=PEAK)
    assert again["verdicts"] == result["verdicts"]
    assert runs(place) == 2
    assert again["page"] != result["page"]
    page = Path(again["page"]).read_text()
    assert "This load was borne before" in page
    assert all(finding.message in unescape(page) for finding in said.verdict.findings)


def test_a_load_borne_beside_another_configuration_is_asked_again(place: Project) -> None:
    """What is live has the same weights, and is served otherwise since: it may have become faster."""
    place.push()
    plain = {"engine": "none", "calibration": None}
    for at_once in (7, 8):
        with traffic(place.port):
            released(place, quantize=plain, serve={"max_num_seqs": at_once}, rollout={"auto": True})
        released(place, quantize=plain, load={**PEAK, "show_batching": False})
    assert runs(place) == 2


def test_a_candidate_slower_than_its_source_is_rejected(place: Project) -> None:
    """It answers as well, but users would wait."""
    place.push(serve_quantized=["--ttft", "0.6"])
    code, error = failed(place, load={**PEAK, "ttft_p95_ms": 500, "show_batching": False})
    assert (code, error["kind"]) == (10, "GateFailed")
    assert "ttft_p95 at 1x" in error["why"]


def test_what_does_not_fit_is_told_before_any_load(place: Project) -> None:
    """A request longer than the server takes is the spec's mistake."""
    place.push()
    code, error = failed(place, load={**PEAK, "prompt_tokens": 100_000})
    assert (code, runs(place)) == (2, 0)
    assert not [*place.home.runs.rglob("serve-*.log")]
    assert "100000" in error["why"].replace(",", "").replace(" ", "")


def test_a_memory_that_nobody_can_tell_is_no_pass(place: Project) -> None:
    """No server is started before the spec says what config.json does not."""
    place.push()
    code, error = failed(place, load={**PEAK, "cache_bytes_per_token": None})
    assert (code, error["kind"], runs(place)) == (13, "Inconclusive", 0)
    assert not [*place.home.runs.rglob("serve-*.log")]
    assert "config.json does not say hidden_size" in error["why"]
    assert "say load.cache_bytes_per_token" in error["why"]
