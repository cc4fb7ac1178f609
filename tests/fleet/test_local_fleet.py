"""A real supervisor, holder and Envoy with simulated engines: routes, streams, deaths, and the end."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fleet import local_fleet
from fleet.envoy_router import EnvoyAdmin, EnvoyRouter
from fleet.local_files import FleetFiles, write_json
from fleet.local_fleet import LocalFleet
from fleet.local_processes import Daemon, is_running
from fleet.router import DesiredState, ObservedState, Route
from registry.errors import InfrastructureError, UsageError
from registry.home import Home
from tests.fleet.conftest import Bench, eventually, processes_of, spec

V1, V2 = spec("m-v1"), spec("m-v2")
SLOW_TOKENS = ("--token-seconds", "0.05")
NO_PROGRAM = ("no-such-program-here", "{port}")


def kill(pid: int | None) -> None:
    """kill -9, and wait until it has happened."""
    assert pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_running(pid))


def test_weights_are_honoured_and_sessions_stick(bench: Bench) -> None:
    """A quarter of the requests reach the canary; a rising weight only adds sessions to it."""
    bench.serve(V1, V2, route=Route("m-v1", "m-v2", 25))
    with ThreadPoolExecutor(4) as pool:
        anonymous = list(pool.map(lambda _: bench.answered_by(), range(300)))
        sessions = [f"session-{i}" for i in range(60)]
        at_25 = dict(zip(sessions, pool.map(bench.answered_by, sessions), strict=True))
        again = dict(zip(sessions, pool.map(bench.answered_by, sessions), strict=True))
        bench.serve(V1, V2, route=Route("m-v1", "m-v2", 50))
        at_50 = dict(zip(sessions, pool.map(bench.answered_by, sessions), strict=True))
    assert 45 <= anonymous.count("m-v2") <= 105
    assert again == at_25
    on_canary = {name for name, revision in at_25.items() if revision == "m-v2"}
    assert on_canary
    assert on_canary < {name for name, revision in at_50.items() if revision == "m-v2"}


def test_no_stream_is_cut_by_weights_promotion_or_retirement(bench: Bench) -> None:
    """Streams that began before each change end whole, and promotion does not restart the canary."""
    slow = spec("m-v1", *SLOW_TOKENS), spec("m-v2", *SLOW_TOKENS)
    before = bench.serve(*slow, route=Route("m-v1", "m-v2", 50))
    with ThreadPoolExecutor(12) as pool:
        streams = [pool.submit(bench.ask, tokens=40) for _ in range(12)]
        time.sleep(0.5)
        bench.serve(*slow, route=Route("m-v1"))
        bench.serve(*slow, route=Route("m-v1", "m-v2", 100))
        bench.serve(*slow, route=Route("m-v2"))
        after = bench.serve(slow[1], route=Route("m-v2"))
        answers = [stream.result() for stream in streams]
    assert all(answer.text.endswith("data: [DONE]\n\n") for answer in answers)
    assert {answer.headers["x-headgate-version"] for answer in answers} == {"m-v1", "m-v2"}
    pids = {replica.revision: replica.pid for replica in before.replicas}
    assert pids["m-v2"] in {replica.pid for replica in after.replicas}
    assert bench.answered_by() == "m-v2"


def test_the_log_tells_what_really_happened(bench: Bench) -> None:
    """Hidden first attempts and errors inside a 200 are the canary's; users see stable's answer."""
    faulty = spec("m-v2", "--error-rate", "0.5", "--stream-error-rate", "0.5")
    bench.serve(V1, route=Route("m-v1"))
    bench.fleet.apply(bench.desired(V1, faulty, route=Route("m-v1")))
    eventually(lambda: bench.fleet.observed().is_ready("m-v2"))
    bench.serve(V1, faulty, route=Route("m-v1", "m-v2", 100))
    position = bench.fleet.observe((), None).position
    answers = [bench.ask() for _ in range(24)]
    eventually(lambda: bench.fleet.observe(("m-v2",), position).stats["m-v2"].requests == 24)
    stats = bench.fleet.observe(("m-v1", "m-v2"), position).stats
    helped = sum(answer.headers["x-headgate-version"] == "m-v1" for answer in answers)
    broken = sum("EngineCore" in answer.text for answer in answers)
    assert {answer.status_code for answer in answers} == {200}
    assert helped
    assert broken
    assert stats["m-v2"].errors == helped + broken
    assert stats["m-v1"].requests == 0
    assert stats["m-v2"].ttft.count == 24 - helped - broken
    assert stats["m-v2"].completion_tokens >= 4 * (24 - helped - broken)


def test_a_server_that_only_claims_health_gets_no_traffic(bench: Bench) -> None:
    """Its health endpoint says 200, its completions fail: stable serves on, whatever the weight."""
    bench.serve(V1, route=Route("m-v1"))
    liar = spec("m-v2", "--dead")
    bench.fleet.apply(bench.desired(V1, liar, route=Route("m-v1", "m-v2", 50)))
    time.sleep(1.0)
    assert not bench.fleet.observed().is_ready("m-v2")
    assert bench.fleet.observed().route == Route("m-v1")
    assert {bench.answered_by() for _ in range(10)} == {"m-v1"}


def test_a_killed_replica_comes_back_and_its_share_is_served_meanwhile(bench: Bench) -> None:
    """Users of the canary get stable's answers until it is back under its weight."""
    state = bench.serve(V1, V2, route=Route("m-v1", "m-v2", 50))
    canary = next(replica for replica in state.replicas if replica.revision == "m-v2")
    kill(canary.pid)
    assert {bench.ask().status_code for _ in range(20)} == {200}
    eventually(lambda: not bench.fleet.observed().is_ready("m-v2"))
    state = bench.serve(V1, V2, route=Route("m-v1", "m-v2", 50))
    assert next(r.restarts for r in state.replicas if r.revision == "m-v2") == 1


def test_a_killed_supervisor_is_replaced_and_the_living_are_adopted(bench: Bench) -> None:
    """Serving never stops, and the next look starts another supervisor over the same processes."""
    before = bench.serve(V1, route=Route("m-v1"))
    kill(before.supervisor_pid)
    assert bench.answered_by() == "m-v1"
    after = LocalFleet(bench.home, "bench").observed()
    assert after.supervisor_pid != before.supervisor_pid
    assert (after.gateway_pid, after.replicas[0].pid) == (before.gateway_pid, before.replicas[0].pid)
    assert after.generation == before.generation


def test_after_a_killed_holder_envoy_and_holder_are_started_anew(bench: Bench) -> None:
    """Whether or not Envoy died with it, the gateway listens again on its port with its route."""
    before = bench.serve(V1, route=Route("m-v1"))
    kill(before.gateway_pid)
    eventually(lambda: bench.fleet.observed().gateway_pid not in {None, before.gateway_pid})
    assert bench.fleet.is_online()
    assert bench.answered_by() == "m-v1"


def test_a_holder_asked_to_end_lets_streams_finish(bench: Bench) -> None:
    """SIGTERM to the holder drains; Envoy's own SIGTERM would cut."""
    slow = spec("m-v1", *SLOW_TOKENS)
    state = bench.serve(slow, route=Route("m-v1"))
    with ThreadPoolExecutor(4) as pool:
        streams = [pool.submit(bench.ask, tokens=30) for _ in range(4)]
        admin = EnvoyAdmin(bench.folder / "envoy" / "admin_address")
        eventually(lambda: admin.requests_in_flight("m-v1") >= 4)
        os.kill(state.gateway_pid or 0, signal.SIGTERM)
        assert all(stream.result().text.endswith("data: [DONE]\n\n") for stream in streams)


def test_applying_again_changes_nothing(bench: Bench) -> None:
    """The same wish has the same generation, and no process is restarted."""
    before = bench.serve(V1, route=Route("m-v1"))
    after = bench.serve(V1, route=Route("m-v1"))
    assert before == after


def test_a_taken_port_is_the_users_to_free(bench: Bench) -> None:
    """The error names the port, and nothing is started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", bench.port))
        other.listen()
        with pytest.raises(UsageError, match=str(bench.port)):
            bench.fleet.apply(bench.desired(V1, route=Route("m-v1")))
    assert processes_of(bench.home) == []


def test_a_program_that_does_not_exist_is_reported(bench: Bench) -> None:
    """The reason reaches the client through the supervisor."""
    with pytest.raises(InfrastructureError, match="no-such-program-here cannot be started"):
        bench.fleet.apply(bench.desired(replace(V1, argv=NO_PROGRAM), route=Route("m-v1")))


def test_the_failure_of_an_earlier_wish_is_no_failure_of_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy supervisor is slow to read what is wanted now; until then, what it reports is of before."""
    monkeypatch.setattr(local_fleet, "_PROBLEM_SECONDS", 0.0)  # in place of a supervisor that is slow
    with pytest.raises(InfrastructureError, match="no-such-program-here"):
        bench.fleet.apply(bench.desired(replace(V1, argv=NO_PROGRAM), route=Route("m-v1")))
    bench.serve(V1, route=Route("m-v1"))
    with pytest.raises(InfrastructureError, match="no-such-program-here"):
        bench.fleet.apply(bench.desired(V1, replace(V2, argv=NO_PROGRAM), route=Route("m-v1")))
    bench.fleet.down()
    assert processes_of(bench.home) == []


def test_what_failed_is_tried_at_once_when_it_is_asked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cause was mended: neither the old problem nor the wait before another start stands in the way."""
    monkeypatch.setattr(local_fleet, "_PROBLEM_SECONDS", 0.0)  # the first problem ends it
    program = bench.home.root / "program"
    wanted = replace(V1, argv=(str(program), *V1.argv[2:]))
    for _attempt in range(2):
        with pytest.raises(InfrastructureError, match="cannot be started"):
            bench.fleet.apply(bench.desired(wanted, route=Route("m-v1")))
    program.write_text(f'#!/bin/sh\nexec {shlex.join(V1.argv[:2])} "$@"\n')
    program.chmod(0o755)
    bench.serve(wanted, route=Route("m-v1"))
    assert bench.answered_by() == "m-v1"


def test_a_supervisor_of_an_older_headgate_is_heard_when_the_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not say which generation its problem is of."""
    monkeypatch.setattr(local_fleet, "_APPLY_SECONDS", 0.2)
    files = FleetFiles(tmp_path / "fleets" / "old")
    files.directory.mkdir(parents=True)
    told = ObservedState(supervisor_pid=os.getpid(), problem="no memory is left").to_json()
    del told["tried"]
    write_json(files.observed, told)
    with files.lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InfrastructureError, match="no memory is left"):
            LocalFleet(Home(tmp_path), "old").apply(DesiredState(port=None))
        write_json(files.observed, {**told, "problem": ""})
        with pytest.raises(InfrastructureError, match="did not report success within"):
            LocalFleet(Home(tmp_path), "old").apply(DesiredState(port=None))


def test_before_the_first_release_the_gateway_says_so(bench: Bench) -> None:
    """A 503 with the reason, in the shape clients of the API understand."""
    bench.fleet.apply(bench.desired(route=Route()))
    answer = bench.ask()
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "headgate"


def test_a_configuration_envoy_refuses_is_an_error_and_the_old_one_stays(bench: Bench) -> None:
    """The refusal is read from Envoy's own counters."""
    bench.serve(V1, route=Route("m-v1"))
    envoy = bench.folder / "envoy"
    router = EnvoyRouter(envoy / "xds", EnvoyAdmin(envoy / "admin_address"))
    files = {name: router._present(name) for name in ("cds.json", "rds.json", "lds.json")}
    nonsense = {"version_info": "x", "resources": [{**files["rds.json"]["resources"][0], "virtual_hosts": 5}]}
    with pytest.raises(InfrastructureError, match=r"refused rds\.json"):
        router.publish({**files, "rds.json": nonsense})
    assert bench.answered_by() == "m-v1"


def test_down_after_a_killed_supervisor_leaves_nothing(bench: Bench) -> None:
    """Even what only the dead supervisor knew of is ended; a second down does nothing."""
    state = bench.serve(V1, V2, route=Route("m-v1"))
    kill(state.supervisor_pid)
    bench.fleet.down()
    assert processes_of(bench.home) == []
    bench.fleet.down()
    assert processes_of(bench.home) == []


def test_down_of_a_fleet_that_never_was_does_nothing(tmp_path: Path) -> None:
    """No folder is made, no process started."""
    LocalFleet(Home(tmp_path), "never").down()
    assert list(tmp_path.iterdir()) == []


def test_a_gateway_moves_to_another_port(bench: Bench) -> None:
    """The old port is free afterwards, the replicas stay."""
    before = bench.serve(V1, route=Route("m-v1"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        moved = probe.getsockname()[1]
    old, bench.port = bench.port, moved
    bench.fleet.apply(DesiredState(moved, (V1,), Route("m-v1")))
    assert bench.answered_by() == "m-v1"
    assert bench.fleet.observed().replicas == before.replicas
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", old))


def test_what_a_dead_supervisor_could_not_record_is_replaced(bench: Bench) -> None:
    """Processes started just before a kill -9 are ended and started anew, not doubled."""
    before = bench.serve(V1, route=Route("m-v1"))
    kill(before.supervisor_pid)
    (bench.folder / "supervisor.json").unlink()
    after = bench.serve(V1, route=Route("m-v1"))
    assert after.replicas[0].pid != before.replicas[0].pid
    assert bench.answered_by() == "m-v1"
    assert before.replicas[0].pid not in processes_of(bench.home)


def test_a_process_is_known_by_more_than_its_id() -> None:
    """After a reboot another program may have a saved id: it is not ours, and is never signalled."""
    stranger = Daemon(os.getpid(), started=1)
    assert not stranger.is_alive
    stranger.terminate()
    stranger.kill()
    assert is_running(os.getpid())
    assert not is_running(None)
