"""prefect.yaml on a real server with a real process worker, asked as the UI's form asks and as CI does."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.utilities.callables import parameter_schema

from flows.release import release
from flows.spec import ReleaseSpec, Rollout
from tests.simulators.hub import HubSimulator

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PREFECT = [sys.executable, "-m", "prefect"]


@dataclass(frozen=True)
class Deployed:
    """A server that knows the deployments, and what a command needs to reach it."""

    api: str
    environment: dict[str, str]
    hub: str

    def prefect(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of Prefect's."""
        return subprocess.run(
            [*PREFECT, *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    def deployment(self, name: str) -> dict[str, Any]:
        """What the server knows of a deployment; the UI draws the form from it."""
        return httpx.get(f"{self.api}/deployments/name/{name}/{name}").raise_for_status().json()

    def submit(self, name: str, parameters: dict[str, Any]) -> httpx.Response:
        """What the form's button does."""
        path = f"{self.api}/deployments/{self.deployment(name)['id']}/create_flow_run"
        return httpx.post(path, json={"parameters": parameters})

    def end_of(self, run: str) -> dict[str, Any]:
        """The state in which a flow run ends."""
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            state = httpx.get(f"{self.api}/flow_runs/{run}").raise_for_status().json()["state"]
            if state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
                return state
            time.sleep(0.2)
        pytest.fail(f"the run did not end: {state['type']}")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Server, work pool, deployments and worker, as docs/how-to/prefect.md starts them."""
    home = tmp_path_factory.mktemp("prefect")
    with HubSimulator() as hub, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        place = Deployed(f"http://127.0.0.1:{port}/api", environment(home, port, hub.endpoint), hub.endpoint)
        arguments = ["server", "start", "--host", "127.0.0.1", "--port", str(port)]
        with daemon(arguments, place.environment, home / "server.log"):
            await_health(place.api)
            for command in (
                ["work-pool", "create", "headgate", "--type", "process"],
                ["--no-prompt", "deploy", "--all"],
            ):
                done = place.prefect(*command)
                assert done.returncode == 0, done.stdout + done.stderr
            worker = ["worker", "start", "--pool", "headgate", "--limit", "1"]
            with daemon(worker, place.environment, home / "worker.log"):
                yield place
    assert left_behind(home) == []


def environment(home: Path, port: int, hub: str) -> dict[str, str]:
    """The machine's environment without its own Prefect, with a home and a hub of the test's."""
    machine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return machine | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "HEADGATE_HOME": str(home / "headgate"),
        "HF_ENDPOINT": hub,
    }


@contextmanager
def daemon(arguments: list[str], env: dict[str, str], log: Path) -> Iterator[None]:
    """One of Prefect's servers, ended with its whole group."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*PREFECT, *arguments],
            cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            # A worker stops by an interrupt it sends itself; started from a script, it would ignore that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def await_health(api: str) -> None:
    """Wait for a fresh server, with its migrations."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{api}/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail("the server did not start")


def left_behind(home: Path) -> list[int]:
    """The processes that still carry this Prefect's home."""
    mark = f"PREFECT_HOME={home}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it ended meanwhile, or is not ours
    return found


def form(**sections: dict[str, Any]) -> dict[str, Any]:
    """A spec as the form sends it: every field filled in, with its default or by a person."""
    least = {
        "model": {"uri": "hf://acme/absent"},
        "quantize": {"calibration": "examples/quickstart/calibration.jsonl", "samples": 32},
        "registry": {"name": "tiny"},
    }
    return {"spec": ReleaseSpec.model_validate(least | sections).model_dump(mode="json")}


def test_the_server_has_the_form_and_the_limits(deployed: Deployed) -> None:
    """The form is the flow's schema, one run at a time, in the folder that was deployed from."""
    known = deployed.deployment("release")
    assert known["parameter_openapi_schema"] == parameter_schema(release).model_dump()
    assert known["enforce_parameter_schema"] is True
    assert known["global_concurrency_limit"]["limit"] == 1
    assert known["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    [(_, step)] = known["pull_steps"][0].items()
    assert Path(step["directory"]) == ROOT


def test_a_bad_value_makes_no_run(deployed: Deployed) -> None:
    """The server refuses it with 409 and names the field."""
    parameters = form()
    parameters["spec"]["quantize"]["bits"] = 5
    answer = deployed.submit("release", parameters)
    assert answer.status_code == 409
    assert "spec.quantize.bits" in answer.json()["detail"]


def test_a_promotion_from_the_form_fails_with_our_paragraph(deployed: Deployed) -> None:
    """The form sends every field; what is wrong is told in the state's message."""
    parameters = {"version": "tiny/7", "rollout": Rollout().model_dump(mode="json")}
    state = deployed.end_of(deployed.submit("promote", parameters).raise_for_status().json()["id"])
    assert state["type"] == "FAILED"
    assert "There is no version tiny/7" in state["message"]
    assert "Next: " in state["message"]


def test_a_release_from_ci_fails_with_our_paragraph_and_an_exit_code(deployed: Deployed) -> None:
    """`--watch` ends with 1; the suite's relative path was found, for the hub was asked."""
    parameters = json.dumps(form(evaluate={"suite": "eval_suites/smoke.yaml"}))
    done = deployed.prefect("deployment", "run", "release/release", "--params", parameters, "--watch")
    assert done.returncode == 1, done.stdout + done.stderr
    run = re.search(r"UUID: (\S+)", done.stdout)
    assert run
    state = deployed.end_of(run[1])
    assert state["type"] == "FAILED"
    assert f"acme/absent is not at {deployed.hub}" in state["message"]
    assert "Next: " in state["message"]
