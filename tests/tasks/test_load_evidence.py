"""What the load gate leaves behind, and what it refuses before a server starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval_suites.gate_page import GatePage
from eval_suites.load_gate import judge_load
from eval_suites.load_report import LoadReport
from eval_suites.load_spec import LoadSpec
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.digest import Digest
from registry.errors import GateFailed, HeadgateError, Inconclusive, InfrastructureError, UsageError
from registry.evidence import list_evidence
from registry.predicates import LOAD as KIND
from tasks.load_memory import check_memory, memory_of
from tasks.record import load_borne, record_load, show_borne
from tasks.run import open_run
from tasks.workplace import Workplace
from tests.simulators.load import LOAD, Behaviour, report
from tests.simulators.records import SERVE
from tests.simulators.released import TinyHome
from tests.simulators.tiny_llama import write_tiny_llama

RELEASE = Digest.of_json("a release")
PAGE = GatePage(name="tiny", judged={"release": RELEASE})
SHORT = LoadSpec(peak_requests_per_second=1, prompt_tokens=32, output_tokens=32)


@pytest.fixture
def place(at: TinyHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    monkeypatch.setattr("tasks.summary.create_markdown_artifact", lambda *_, **__: None)
    with open_run(at.home, "run") as run:
        yield Workplace(at.home, os.environ, run)


def test_a_load_that_was_borne_is_evidence_on_the_release(at: TinyHome, place: Workplace) -> None:
    """Signed, with the medians of every step, and once; a later page draws the same of it."""
    seen = report(Behaviour(), Behaviour())
    verdict = judge_load(LOAD, seen, "source")
    for _ in range(2):
        record_load(place, PAGE, SERVE, LOAD, None, seen, verdict)
    (found,) = list_evidence(at.store, RELEASE, at.trust)
    assert (found.kind, found.verdict) == (KIND, verdict)
    assert found.facts["medians"]["candidate"]["3x"]["broken_rate"] == 0
    page = (place.run.directory / "gate.html").read_text()
    assert "TTFT p95, ms" in page
    assert page.count('class="curve candidate"') == page.count('class="curve other"') == 12
    assert "tokens per second and accelerator at" in page
    said = load_borne(place, RELEASE, LOAD, None)
    assert said
    show_borne(place, PAGE, LOAD, said)
    again = (place.run.directory / "gate.html").read_text()
    assert again.partition("<svg")[2].partition("<ul>")[0] == page.partition("<svg")[2].partition("<ul>")[0]
    assert "This load was borne before, in the run run, and was not asked again." in again


@pytest.mark.parametrize(
    ("outcome", "failure", "error"),
    [
        (Outcome.FAIL, FailureClass.MODEL, GateFailed),
        (Outcome.FAIL, FailureClass.CONFIG, UsageError),
        (Outcome.INCONCLUSIVE, None, Inconclusive),
        (Outcome.INCONCLUSIVE, FailureClass.CONFIG, Inconclusive),
        (Outcome.INCONCLUSIVE, FailureClass.MODEL, Inconclusive),
        (Outcome.ERROR, FailureClass.CONFIG, UsageError),
        (Outcome.ERROR, FailureClass.INFRA, InfrastructureError),
    ],
)
def test_whatever_else_it_came_to_stops_the_release(
    at: TinyHome,
    place: Workplace,
    outcome: Outcome,
    failure: FailureClass | None,
    error: type[HeadgateError],
) -> None:
    """By whose fault it is, if anybody can tell; the evidence is kept all the same."""
    said = Finding(name="alive", outcome=outcome, message="it fell over", failure_class=failure)
    with pytest.raises(error, match=r"load gate said .*it fell over"):
        record_load(place, PAGE, SERVE, LOAD, None, LoadReport(()), Verdict.of([said]))
    (found,) = list_evidence(at.store, RELEASE, at.trust)
    assert found.verdict
    assert found.verdict.outcome is outcome


def test_files_tell_whether_a_release_fits(place: Workplace, tmp_path: Path) -> None:
    """Before any server is started, for a class of accelerators that need not be here."""
    manifest = place.blobs.add_tree(write_tiny_llama(tmp_path / "tiny"))
    assert check_memory(place, manifest, SERVE, "l4", SHORT).passed
    small = SHORT.model_copy(update={"gpu_memory_gib": 0.001})
    assert check_memory(place, manifest, SERVE, "l4", small).failure_class is FailureClass.CONFIG
    assert check_memory(place, manifest, SERVE, "no-such", SHORT).outcome is Outcome.ERROR


def test_a_processor_has_the_memory_of_the_machine() -> None:
    """Whatever its class is called beside; an accelerator of several sizes counts as the smaller."""
    assert (memory_of(SHORT, "cpu-amx") or 0) > 1 << 20
    assert memory_of(SHORT, "a100-sxm") == 40 << 30
