"""Commands that are interrupted or killed: what they leave, and how the next ones go on."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from registry.alias_log import get_aliases
from registry.key_ring import load_trust
from registry.publish import list_versions
from tests.simulators.project import Project, released, traffic, until
from tests.simulators.weights import shard


def asked_engines(place: Project) -> list[int]:
    """The engines at work; not what makes their environments, which is gone in a moment."""
    found = []
    for pid in place.processes():
        with suppress(OSError):  # gone meanwhile
            if b"request.json" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@pytest.mark.parametrize("stage", ["quantize", "evaluate"])
def test_a_release_that_was_killed_goes_on_when_run_again(place: Project, stage: str) -> None:
    """kill -9 leaves orphans; the next run ends them and finishes the release."""
    place.push(**{f"{stage}_seconds": 20})
    process = place.start("release", str(place.write_spec()), "--json")
    until(lambda: any(place.home.runs.glob(f"*/{stage}.log")) and asked_engines(place))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    orphans = place.processes()
    assert orphans
    place.push()
    assert released(place.together())["version"] == "tiny/1"
    assert not set(orphans) & set(place.processes())


@pytest.mark.parametrize("stage", ["fetch", "quantize", "serve-source", "evaluate"])
def test_ctrl_c_ends_a_release_and_all_its_processes(place: Project, stage: str) -> None:
    """Exit code 130, nothing published, no process left."""
    place.push(quantize_seconds=20 if stage == "quantize" else 0, evaluate_seconds=20)
    if stage == "fetch":
        place.push_with({"model.safetensors": shard(40_000_000)})
        place.hub.bytes_per_second = 1e6
    process = place.start("release", str(place.write_spec()), "--json")
    reached = "cache/downloads/*" if stage == "fetch" else f"runs/*/{stage}.log"
    until(lambda: any(place.home.root.glob(reached)))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert list_versions(place.store) == []
    until(lambda: place.processes() == [], 15)  # what was killed takes a moment to be gone


def test_a_promotion_that_was_killed_goes_on_with_the_fleet_it_left(place: Project) -> None:
    """The fleet outlives the flow; promoting again continues at the weight it had."""
    place.push()
    released(place.together(), rollout={"auto": True})
    released(place.together(), quantize={"group_size": 64})
    spec = str(place.write_spec(rollout={"min_requests": 40}))
    process = place.start("promote", "tiny/2", "--spec", spec, "--json")
    with traffic(place.port):
        until(lambda: place.weight() == 20)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert place.processes(), "the fleet should go on"
        code, out, err = place.together().command("promote", "tiny/2", "--spec", spec, "--json")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["rollout"]["weights"] == [20, 50, 100]


def test_ctrl_c_in_a_rollout_leaves_users_on_what_they_had(place: Project) -> None:
    """The canary that was being started gets no traffic; promoting again goes on."""
    place.push(serve=["--start-delay", "3"])
    process = place.start("release", str(place.write_spec(rollout={"auto": True})), "--json")
    until((place.home.fleets / "test" / "tiny-v1.log").exists)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert get_aliases(place.store, load_trust(place.home), "tiny", "cpu").production is None
    spec = str(place.folder / "spec.yaml")
    code, _, err = place.together().command("promote", "tiny/1", "--spec", spec)
    assert code == 0, err
    assert get_aliases(place.store, load_trust(place.home), "tiny", "cpu").production == 1
