"""Load against servers that cope, queue, refuse, tire or die; the generator simulated, and vLLM's own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from eval_suites.load_gate import judge_load
from eval_suites.load_report import LoadReport
from eval_suites.load_runs import FACTORS
from eval_suites.load_spec import LoadSpec
from fleet.local_processes import free_port
from fleet.readiness import answers
from judging.verdict import FailureClass, Outcome, Verdict
from registry.errors import InfrastructureError
from tasks.load_test import Start, measure_load, with_batching
from tasks.process import background_process
from tasks.run import open_run
from tasks.serving import Endpoint
from tasks.workplace import Workplace
from tests.simulators import engine as simulated_engine
from tests.simulators.project import ENGINES
from tests.simulators.released import TinyHome
from tests.simulators.tiny_llama import write_tiny_llama

LOAD = LoadSpec(
    peak_requests_per_second=40,
    prompt_tokens=8,
    output_tokens=4,
    seconds=0.1,
    ttft_p95_ms=5000,
    tpot_p95_ms=5000,
    max_ratio=50,
    max_error_rate=0.05,
)
STRICT = LOAD.model_copy(update={"ttft_p95_ms": 500.0, "tpot_p95_ms": 100.0, "max_ratio": 5.0})
QUICK = ("--ttft", "0.05", "--token-seconds", "0.002")
REQUESTS = 12

Serve = Callable[..., Endpoint]


@pytest.fixture
def place(at: TinyHome) -> Iterator[Workplace]:
    with open_run(at.home, "run") as run:
        yield Workplace(at.home, os.environ, run)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a simulated server with these knobs."""
    tokenizer = write_tiny_llama(tmp_path / "tokenizer")
    with ExitStack() as servers:

        def start(name: str, *knobs: str) -> Endpoint:
            port = free_port()
            command = [sys.executable, simulated_engine.__file__, "--port", str(port), *QUICK, *knobs]
            log_file = tmp_path / f"{name}.log"
            server = servers.enter_context(background_process(command, log_file=log_file, grace=1))
            while not answers(port, name, timeout=5):
                assert server.poll() is None
                time.sleep(0.05)
            return Endpoint(f"http://127.0.0.1:{port}", name, tokenizer, server)

        yield start


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few requests a run, sent by a machine that may be busy with other tests."""
    monkeypatch.setattr("eval_suites.load_runs._FEWEST", REQUESTS)
    monkeypatch.setattr("eval_suites.load_gate._OFFERED", 0.0)
    monkeypatch.setattr("tasks.load_watch._ENDING", 1.0)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated generator."""
    for module in ("tasks.engine_environment", "tasks.engine_run"):
        monkeypatch.setattr(f"{module}.ENGINES", ENGINES)


def never(side: str) -> Endpoint:
    raise AssertionError(f"the server of the {side} was started anew")


def judged(
    place: Workplace,
    candidate: Endpoint,
    source: Endpoint,
    load: LoadSpec = LOAD,
    start: Start = never,
) -> tuple[LoadReport, Verdict]:
    report = measure_load(place, {"candidate": candidate, "source": source}, load, start)
    return report, judge_load(load, report, "source")


def lost_at(report: LoadReport) -> list[tuple[str, str]]:
    return [(death.run.side, death.run.step) for death in report.deaths]


def worst(verdict: Verdict) -> set[tuple[str, Outcome, FailureClass | None]]:
    return {(f.name, f.outcome, f.failure_class) for f in verdict.findings if f.outcome is verdict.outcome}


@pytest.mark.usefixtures("simulated")
class TestSimulatedGenerator:
    def test_two_servers_that_cope_take_turns_and_pass(
        self, place: Workplace, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who goes first changes by repeat, each side bears every step, and memory is recorded if told."""
        candidate, source = serve("candidate"), serve("source")
        assert candidate.server
        driver, group = tmp_path / "nvidia-smi", candidate.server.pid
        driver.write_text(f"#!/bin/sh\nprintf '{group}, 1000\\n{group}, 24\\n7, 9\\n'\n")
        driver.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        report, verdict = judged(place, candidate, source)
        assert verdict.passed, verdict.reasons()
        asked = [trial.run.side for trial in report.trials if trial.run.step == "1x"]
        assert asked == ["candidate", "source", "source", "candidate", "candidate", "source"]
        assert len(report.trials) == 2 * 4 * 3
        assert all(size > 1 << 20 for size in report.memory.values())
        assert report.memory.keys() == {"candidate", "source"}
        assert report.gpu_memory == {"candidate": 1 << 30}

    def test_batching_is_shown_by_the_same_requests(self, place: Workplace, serve: Serve) -> None:
        """They take longer one at a time."""
        sides = {"candidate": serve("candidate"), "unbatched": serve("unbatched", "--at-once", "1")}
        report = with_batching(place, LoadReport(()), sides, LOAD)
        together, alone = (report.of(side, "batching")[0] for side in ("candidate", "unbatched"))
        assert together.e2e.size == alone.e2e.size == 20
        assert together.duration < alone.duration

    def test_an_unbatched_server_that_hangs_shows_nothing(
        self, place: Workplace, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody judges it: what the others bore counts, and the gain of batching is not told."""
        monkeypatch.setattr("tasks.load_watch.patience", lambda _load: 2.0)
        monkeypatch.setattr("tasks.load_test.patience", lambda _load: 2.0)
        sides = {"candidate": serve("candidate"), "unbatched": serve("unbatched", "--hang-after", "3")}
        before = LoadReport((), memory={"candidate": 1})
        assert with_batching(place, before, sides, LOAD) == before

    def test_a_candidate_that_dies_twice_is_rejected(self, place: Workplace, serve: Serve) -> None:
        """Its second server at the same load; the baseline bears it: it is the candidate's own fault."""
        dying = serve("candidate", "--die-after", str(3 * REQUESTS))
        report, verdict = judged(
            place,
            dying,
            serve("source"),
            start=lambda side: serve(side, "--die-after", str(REQUESTS + 5)),
        )
        assert worst(verdict) == {("alive", Outcome.FAIL, FailureClass.MODEL)}
        assert lost_at(report) == [("candidate", "2x")] * 2
        assert len(report.of("source", "2x")) == 1
        assert not report.of("candidate", "2x")
        said = "stopped answering at 2x (it ended with exit code 9, its last lines: out of luck)"
        assert verdict.reasons() == [
            f"the server of the candidate {said}; started anew, it {said}; that of the source bore the same"
        ]

    def test_a_candidate_that_dies_once_is_not_blamed(self, place: Workplace, serve: Serve) -> None:
        """Its second server bears the same: it has not passed, and nobody is rejected."""
        dying = serve("candidate", "--die-after", str(3 * REQUESTS))
        report, verdict = judged(place, dying, serve("source"), start=serve)
        assert worst(verdict) == {("alive", Outcome.INCONCLUSIVE, None)}
        assert lost_at(report) == [("candidate", "2x")]
        assert "started anew it bore the same run" in verdict.reasons()[0]
        assert {trial.run.step for trial in report.trials} == {"1x", "2x"}

    def test_a_server_that_is_killed_is_the_machine_s_fault(self, place: Workplace, serve: Serve) -> None:
        """However often, and the signal is told."""
        knobs = ("--killed", "--die-after", str(REQUESTS + 5))
        _, verdict = judged(
            place,
            serve("candidate", *knobs),
            serve("source"),
            start=lambda side: serve(side, *knobs),
        )
        assert worst(verdict) == {("alive", Outcome.ERROR, FailureClass.INFRA)}
        assert "it was ended by SIGKILL" in verdict.reasons()[0]

    def test_memory_that_ran_out_is_the_machine_s_fault(
        self, place: Workplace, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server whose engine the kernel has ended may end itself in good order."""
        kills = count()
        monkeypatch.setattr("tasks.load_watch.out_of_memory_kills", lambda: next(kills))
        dying = serve("candidate", "--die-after", str(3 * REQUESTS))
        _, verdict = judged(place, dying, serve("source"), start=serve)
        assert worst(verdict) == {("alive", Outcome.ERROR, FailureClass.INFRA)}
        assert "the kernel ended a process of this machine for lack of memory" in verdict.reasons()[0]

    def test_two_servers_that_die_twice_are_the_spec_s_fault(self, place: Workplace, serve: Serve) -> None:
        """Nobody bears that load, so other weights would not help."""
        limit = ("--die-after", str(REQUESTS + 5))
        report, verdict = judged(
            place,
            serve("candidate", *limit),
            serve("source", *limit),
            start=lambda side: serve(side, *limit),
        )
        assert worst(verdict) == {("alive", Outcome.FAIL, FailureClass.CONFIG)}
        assert lost_at(report) == [("candidate", "1x"), ("source", "1x")] * 2

    def test_a_baseline_that_dies_at_three_times_the_peak_blocks_nobody(
        self, place: Workplace, serve: Serve
    ) -> None:
        """It is asked that no more, and goes on being compared with below it."""
        servers = iter([("--die-after", str(REQUESTS + 5)), ()])
        report, verdict = judged(
            place,
            serve("candidate"),
            serve("source", "--die-after", str(3 * (REQUESTS + 1) + 5)),
            start=lambda side: serve(side, *next(servers)),
        )
        assert verdict.passed, verdict.reasons()
        assert lost_at(report) == [("source", "3x")] * 2
        asked = [(step, len(report.of("source", step))) for step in ("1x", "2x", "3x", "1x again")]
        assert asked == [("1x", 3), ("2x", 3), ("3x", 0), ("1x again", 0)]
        assert all(len(report.of("candidate", step)) == 3 for step in FACTORS)
        assert {"baseline", "1x/ttft_p95/ratio", "2x/goodput"} <= {f.name for f in verdict.findings}

    def test_a_server_that_does_not_recover_fails(self, place: Workplace, serve: Serve) -> None:
        """Once many had to wait it takes five times as long for each, for ever."""
        tiring = serve("candidate", "--at-once", "3", "--tired-after", "3")
        report, verdict = judged(place, tiring, serve("source", "--at-once", "3"), STRICT)
        before, after = (report.of("candidate", step)[0].ttft.min() for step in ("1x", "1x again"))
        assert after > 3 * before
        assert not verdict.passed

    def test_a_server_that_hangs_is_given_up(
        self, place: Workplace, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is never answered does not hold the release up for ever; its server ends before the next."""
        monkeypatch.setattr("tasks.load_watch.patience", lambda _load: 2.0)
        monkeypatch.setattr("tasks.load_test.patience", lambda _load: 2.0)
        hanging = serve("candidate", "--hang-after", "30")

        def start(side: str) -> Endpoint:
            assert hanging.server
            assert hanging.server.poll() is not None
            return serve(side, "--hang-after", str(REQUESTS + 5))

        _, verdict = judged(place, hanging, serve("source"), start=start)
        assert worst(verdict) == {("alive", Outcome.FAIL, FailureClass.MODEL)}
        assert "had not answered everything 2 s after 2x (it still runs)" in verdict.reasons()[0]

    def test_a_result_that_cannot_be_read_is_said_so(
        self, place: Workplace, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another version of the generator may write something else."""
        monkeypatch.setattr("tasks.load_watch.read_trial", _refuse)
        with pytest.raises(InfrastructureError, match=r"cannot be read\. candidate-warm-up-0\.json: no"):
            judged(place, serve("candidate"), serve("source"))


def _refuse(*_: object) -> None:
    raise ValueError("no list of 20")


@pytest.mark.e2e
class TestVllmsOwnGenerator:
    def test_two_servers_that_cope_pass(self, place: Workplace, serve: Serve) -> None:
        """The pinned vLLM takes the flags, sends that load, and writes what is read."""
        report, verdict = judged(place, serve("candidate"), serve("source"))
        assert verdict.passed, verdict.reasons()
        assert all(trial.e2e.size == REQUESTS for trial in report.trials)
        assert "Traffic request rate: 120.0" in place.run.log_file("load").read_text()

    def test_what_goes_wrong_is_told_apart(self, place: Workplace, serve: Serve) -> None:
        """Some are turned away with a 429, some answers break off inside a 200, then the server is gone."""
        faults = ("--at-once", "2", "--queue", "2", "--stream-error-rate", "0.3", "--die-after")
        dying = serve("candidate", *faults, "60")
        report, verdict = judged(place, dying, serve("source"), start=lambda side: serve(side, *faults, "20"))
        assert worst(verdict) == {("alive", Outcome.FAIL, FailureClass.MODEL)}
        trials = [trial for trial in report.trials if trial.run.side == "candidate"]
        assert sum(trial.turned_away for trial in trials) > 0
        assert sum(trial.broken.get("the answer was cut off", 0) for trial in trials) > 0
