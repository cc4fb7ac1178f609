"""Load test: asks running servers more and more, side by side, and starts anew what did not live through it.

A server may be lost to the machine as well as to the load, and one loss does not tell which. So the same run
is asked of a second server before anybody is judged by it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from eval_suites.load_report import Death, LoadReport
from eval_suites.load_runs import (
    CANDIDATE,
    UNBATCHED,
    LoadRun,
    batching_runs,
    patience,
    runs_of,
    warm_up,
    without_load_of,
)
from eval_suites.load_spec import LoadSpec
from registry.errors import HeadgateError
from tasks.engine_run import run_engine
from tasks.load_watch import Seen, ServerLost, Watch
from tasks.progress import report
from tasks.serving import Endpoint, Served, serving
from tasks.workplace import Workplace

ENGINE = "load_vllm_cpu"

Start = Callable[[str], Endpoint]
"""Starts the server of a side, and answers when it does."""


def measure_beside(
    place: Workplace, candidate: Endpoint, served: Mapping[str, Served], load: LoadSpec
) -> LoadReport:
    """The load test of a candidate that is being served, the servers of the other sides started for it.

    ``served`` has all sides. The unbatched one comes last, when no other but the candidate is up.
    """
    with ExitStack() as servers:

        def start(side: str) -> Endpoint:
            return servers.enter_context(serving(place, served[side]))

        judged = [side for side in served if side != UNBATCHED]
        endpoints = {side: candidate if side == CANDIDATE else start(side) for side in judged}
        found = measure_load(place, endpoints, load, start)
    if UNBATCHED not in served or found.deaths_of(CANDIDATE):
        return found
    try:
        with serving(place, served[UNBATCHED]) as alone:
            return with_batching(place, found, {CANDIDATE: candidate, UNBATCHED: alone}, load)
    except HeadgateError as problem:  # nobody is judged by it
        report("load", f"what batching gains cannot be shown: {problem}")
        return found


def measure_load(
    place: Workplace, endpoints: Mapping[str, Endpoint], load: LoadSpec, start: Start
) -> LoadReport:
    """What all runs against these endpoints, by judged side, came to.

    It ends where a candidate was lost: what it would still bear could not make it pass. Raises
    InfrastructureError when the load generator itself fails, or is not understood.
    """
    with place.stage("load", f"up to {3 * load.peak_requests_per_second:g} requests per second"):
        return _LoadTest(place, endpoints, load, start).to_the_end()


def with_batching(
    place: Workplace, found: LoadReport, endpoints: Mapping[str, Endpoint], load: LoadSpec
) -> LoadReport:
    """The report and what the same few requests take together and one at a time, unless either got stuck."""
    seen = Seen()
    _go(place, endpoints, load, batching_runs(load), seen)
    return found if seen.deaths else replace(found, trials=(*found.trials, *seen.trials.values()))


class _LoadTest:
    def __init__(
        self, place: Workplace, endpoints: Mapping[str, Endpoint], load: LoadSpec, start: Start
    ) -> None:
        self._place, self._load, self._start = place, load, start
        self._endpoints, self._seen = dict(endpoints), Seen()

    def to_the_end(self) -> LoadReport:
        """Goes on with what is left after each server that was lost, until nothing is."""
        runs = left = runs_of(self._load, list(self._endpoints))
        while left:
            left = self._asked(left)
        seen = self._seen
        trials = tuple(seen.trials[run.name] for run in runs if run.name in seen.trials)
        return LoadReport(trials, tuple(seen.deaths), seen.memory, seen.gpu_memory)

    def _asked(self, runs: Iterable[LoadRun]) -> tuple[LoadRun, ...]:
        """Asks run after run until a server is lost, and what follows from that; what is left to ask."""
        watch = _go(self._place, self._endpoints, self._load, runs, self._seen)
        for death in watch.lost:
            lost = self._endpoints.pop(death.run.side)
            if lost.server:
                lost.server.end()  # one that hangs holds its memory
        left = tuple(watch.left)
        for death in watch.lost:
            left = self._after(death.run, left)
        return left

    def _after(self, lost: LoadRun, left: tuple[LoadRun, ...]) -> tuple[LoadRun, ...]:
        """What is left once the run that was lost was asked of a second server, and borne or lost again."""
        side = lost.side
        if len(self._deaths(side)) == 1:
            self._endpoints[side] = self._start(side)
            for run in dict.fromkeys([warm_up(self._load, side), lost]):
                if len(self._deaths(side)) == 1:  # one by one: whoever is looked after is asked nothing else
                    self._asked([run])
        deaths = self._deaths(side)
        if self._deaths(CANDIDATE) or (len(deaths) > 1 and any(death.outside for death in deaths)):
            return ()
        if len(deaths) == 1:
            return left
        left = without_load_of(lost, left)
        if not any(run.side == side for run in left):
            return left
        self._endpoints[side] = self._start(side)
        return (warm_up(self._load, side), *left)

    def _deaths(self, side: str) -> list[Death]:
        return [death for death in self._seen.deaths if death.run.side == side]


def _go(
    place: Workplace,
    endpoints: Mapping[str, Endpoint],
    load: LoadSpec,
    runs: Iterable[LoadRun],
    seen: Seen,
) -> Watch:
    """These runs, until the last or until a server is lost; what they come to is added to ``seen``."""
    folder = Path(tempfile.mkdtemp(prefix="load-", dir=place.run.directory))
    watch = Watch(folder, dict(endpoints), load, runs, seen)
    orders = list(watch.orders())
    request = {"runs": orders, "results_dir": str(folder), "patience": patience(load)}
    timeout = (len(orders) + 1) * patience(load)
    with suppress(ServerLost):
        run_engine(ENGINE, request, place.run, timeout=timeout, stage="load", heard=watch.heard)
    return watch
