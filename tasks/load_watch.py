"""Listens to the load generator: reads each run's result, and looks after the server that bore it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM
from typing import Any
from urllib.parse import urlsplit

from eval_suites.load_report import Death
from eval_suites.load_result import Trial, read_trial
from eval_suites.load_runs import WARM_UP, LoadRun, bench_arguments, patience
from eval_suites.load_spec import LoadSpec
from fleet.readiness import answers
from registry.errors import InfrastructureError
from tasks.machine import gpu_memory, out_of_memory_kills
from tasks.process import BackgroundProcess, how_it_ended
from tasks.process_table import group_members, held_memory
from tasks.serving import Endpoint

_ALIVE = 60.0  # seconds; a server that has just been asked too much may first have to end what it began
_ENDING = 5.0  # seconds; one whose engine is gone takes some to end itself
_LAST, _LONGEST = 3, 160  # lines of its log, and characters of each
_FROM_OUTSIDE = frozenset({-SIGKILL, -SIGTERM, -SIGINT, -SIGHUP})  # a program that fails ends by others


@dataclass
class Seen:
    """What all runs so far came to: trials by the run's name, servers that were lost, memory in bytes."""

    trials: dict[str, Trial] = field(default_factory=dict)
    deaths: list[Death] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    gpu_memory: dict[str, int] = field(default_factory=dict)


class ServerLost(Exception):
    """Ends the load generator; what it means is for the judge."""


class Watch:
    """Looks after these servers, by side, for as long as the generator goes on with these runs.

    ``left`` are the runs that it has not come to, ``lost`` the servers that it was the last for.
    """

    def __init__(
        self,
        folder: Path,
        endpoints: Mapping[str, Endpoint],
        load: LoadSpec,
        runs: Iterable[LoadRun],
        seen: Seen,
    ) -> None:
        self._folder, self._endpoints, self._load, self._seen = folder, endpoints, load, seen
        self._runs = {run.name: run for run in runs}
        self._kills = out_of_memory_kills()
        self._over = False
        self.left: Sequence[LoadRun] = tuple(self._runs.values())
        self.lost: list[Death] = []

    def orders(self) -> Iterator[dict[str, Any]]:
        """Each run as the engine is told."""
        for name, run in self._runs.items():
            endpoint = self._endpoints[run.side]
            arguments = bench_arguments(
                run, self._load, url=endpoint.base_url, model=endpoint.model, tokenizer=endpoint.folder
            )
            yield {"name": name, "arguments": arguments}

    def heard(self, line: Mapping[str, Any]) -> None:
        """One run is over. Where a server was lost, the others still bear that step, and then it ends."""
        if "run" not in line or self._over:  # what was written before it was ended is still passed on
            return
        run = self._runs[str(line["run"])]
        self.left = self.left[self.left.index(run) + 1 :]
        if line["ended"]:
            self._take(run)
        else:
            self._lose(run, f"had not answered everything {patience(self._load):g} s after {run.step}")
        if self.lost and not any(_is_beside(run, other) for other in self.left[:1]):
            self._over = True
            for side in self._endpoints.keys() - {death.run.side for death in self.lost}:
                self._look_after(self._of(side, run))
            raise ServerLost

    def _of(self, side: str, run: LoadRun) -> LoadRun:
        """The run that this side bore when another did that one."""
        beside = (other for other in self._runs.values() if other.side == side and _is_beside(run, other))
        return next(beside, replace(run, side=side))

    def _take(self, run: LoadRun) -> None:
        trial = self._read(run)
        if run.step != WARM_UP:
            self._seen.trials[run.name] = trial
        self._look_after(run)
        self._weigh(run.side)

    def _look_after(self, run: LoadRun) -> None:
        endpoint = self._endpoints[run.side]
        if not answers(urlsplit(endpoint.base_url).port or 80, endpoint.model, timeout=_ALIVE):
            self._lose(run, f"stopped answering at {run.step}")

    def _lose(self, run: LoadRun, how: str) -> None:
        self._seen.trials.pop(run.name, None)  # of a server that did not live through it
        server = self._endpoints[run.side].server
        code = _exit_code(server) if server else None
        starved = out_of_memory_kills() > self._kills
        said = f"{how} ({', '.join(_circumstances(server, code, starved))})" if server else how
        self.lost.append(Death(run=run, how=said, outside=starved or code in _FROM_OUTSIDE))
        self._seen.deaths.append(self.lost[-1])

    def _weigh(self, side: str) -> None:
        """What the server holds after a run: vLLM takes its cache at once and keeps what its steps needed."""
        server = self._endpoints[side].server
        if server is None:
            return
        members, seen = group_members(server.pid), self._seen
        seen.memory[side] = max(seen.memory.get(side, 0), held_memory(members))
        on_gpus = gpu_memory(members)
        if on_gpus is not None:
            seen.gpu_memory[side] = max(seen.gpu_memory.get(side, 0), on_gpus)

    def _read(self, run: LoadRun) -> Trial:
        path = self._folder / f"{run.name}.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            return read_trial(run, self._load.output_tokens, value)
        except (OSError, ValueError) as problem:
            raise InfrastructureError(
                "the load generator's result cannot be read",
                why=f"{path.name}: {problem}",
                next_step="read load.log in the run's folder, and run the same command again",
            ) from problem


def _is_beside(run: LoadRun, other: LoadRun) -> bool:
    """Whether both are of one step of one repeat."""
    return (run.step, run.repeat) == (other.step, other.repeat)


def _exit_code(server: BackgroundProcess) -> int | None:
    """Its exit code; None where it does not end."""
    deadline = time.monotonic() + _ENDING
    while (code := server.poll()) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return code


def _circumstances(server: BackgroundProcess, code: int | None, starved: bool) -> Iterator[str]:
    yield "it still runs" if code is None else f"it {how_it_ended(code)}"
    if starved:
        yield "and meanwhile the kernel ended a process of this machine for lack of memory"
    if lines := server.tail()[-_LAST:]:
        yield "its last lines: " + " / ".join(line.strip()[:_LONGEST] for line in lines)
