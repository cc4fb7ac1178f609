"""Load test: asks running servers more and more, side by side, and watches whether they live through it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eval_suites.load_report import LoadReport
from eval_suites.load_result import Trial, read_trial
from eval_suites.load_runs import CANDIDATE, WARM_UP, LoadRun, bench_arguments, patience, runs_of
from eval_suites.load_spec import LoadSpec
from fleet.readiness import answers
from registry.errors import InfrastructureError
from tasks.engine_run import run_engine
from tasks.machine import gpu_memory
from tasks.process_table import group_members, held_memory
from tasks.serving import Endpoint, Served, serving
from tasks.workplace import Workplace

ENGINE = "load_vllm_cpu"
_ALIVE = 60.0  # seconds; a server that has just been asked too much may first have to end what it began


def measure_beside(
    place: Workplace, candidate: Endpoint, others: Mapping[str, Served], load: LoadSpec
) -> LoadReport:
    """The load test of a candidate that is being served, the servers of these other sides started for it."""
    with ExitStack() as servers:
        endpoints = {name: servers.enter_context(serving(place, served)) for name, served in others.items()}
        return measure_load(place, {CANDIDATE: candidate, **endpoints}, load)


def measure_load(place: Workplace, endpoints: Mapping[str, Endpoint], load: LoadSpec) -> LoadReport:
    """What all runs against these endpoints, by side, came to; the first server that is lost ends it.

    Raises InfrastructureError when the load generator itself fails, or is not understood.
    """
    with place.stage("load", f"up to {3 * load.peak_requests_per_second:g} requests per second"):
        watch = _Watch(Path(tempfile.mkdtemp(prefix="load-", dir=place.run.directory)), endpoints, load)
        request = {
            "runs": list(watch.orders()),
            "results_dir": str(watch.folder),
            "patience": patience(load),
        }
        timeout = (len(watch.runs) + 1) * patience(load)
        with suppress(_ServerLost):
            run_engine(ENGINE, request, place.run, timeout=timeout, stage="load", heard=watch.heard)
        return LoadReport(tuple(watch.trials), watch.lost, watch.memory, watch.gpu_memory)


class _ServerLost(Exception):
    """Ends the load generator; what it means is for the judge."""


class _Watch:
    """Listens to the load generator: reads each run's result and looks after the server that bore it."""

    def __init__(self, folder: Path, endpoints: Mapping[str, Endpoint], load: LoadSpec) -> None:
        self.folder, self._endpoints, self._load = folder, endpoints, load
        self.runs = {run.name: run for run in runs_of(load, list(endpoints))}
        self.trials: list[Trial] = []
        self.lost: dict[str, str] = {}
        self.memory: dict[str, int] = {}
        self.gpu_memory: dict[str, int] = {}
        self._over = False

    def orders(self) -> Iterator[dict[str, Any]]:
        """Each run as the engine is told."""
        for name, run in self.runs.items():
            endpoint = self._endpoints[run.side]
            arguments = bench_arguments(
                run, self._load, url=endpoint.base_url, model=endpoint.model, tokenizer=endpoint.folder
            )
            yield {"name": name, "arguments": arguments}

    def heard(self, line: Mapping[str, Any]) -> None:
        """One run is over. Where a server was lost, the others still bear that step, and then it ends."""
        if "run" not in line or self._over:  # what was written before it was ended is still passed on
            return
        run = self.runs[str(line["run"])]
        if line["ended"]:
            self._take(run)
        else:
            self.lost[run.side] = f"had not answered everything {patience(self._load):g} s after {run.step}"
        if self.lost and self._ends_step(run):
            self._over = True
            self._look_at(run, self._endpoints.keys() - self.lost.keys())
            raise _ServerLost

    def _take(self, run: LoadRun) -> None:
        trial = self._read(run)
        if run.step != WARM_UP:
            self.trials.append(trial)
        self._look_at(run, [run.side])
        self._weigh(run.side)

    def _ends_step(self, run: LoadRun) -> bool:
        runs = list(self.runs.values())
        after = runs[runs.index(run) + 1 :][:1]
        return not any((other.step, other.repeat) == (run.step, run.repeat) for other in after)

    def _look_at(self, run: LoadRun, sides: Collection[str]) -> None:
        for side in sides:
            if not self._answers(side):
                self.lost[side] = f"stopped answering at {run.step}"

    def _answers(self, side: str) -> bool:
        endpoint = self._endpoints[side]
        return answers(urlsplit(endpoint.base_url).port or 80, endpoint.model, timeout=_ALIVE)

    def _weigh(self, side: str) -> None:
        """What the server holds after a run: vLLM takes its cache at once and keeps what its steps needed."""
        group = self._endpoints[side].group
        if group is None:
            return
        members = group_members(group)
        self.memory[side] = max(self.memory.get(side, 0), held_memory(members))
        on_gpus = gpu_memory(members)
        if on_gpus is not None:
            self.gpu_memory[side] = max(self.gpu_memory.get(side, 0), on_gpus)

    def _read(self, run: LoadRun) -> Trial:
        path = self.folder / f"{run.name}.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            return read_trial(run, self._load.output_tokens, value)
        except (OSError, ValueError) as problem:
            raise InfrastructureError(
                "the load generator's result cannot be read",
                why=f"{path.name}: {problem}",
                next_step="read load.log in the run's folder, and run the same command again",
            ) from problem
