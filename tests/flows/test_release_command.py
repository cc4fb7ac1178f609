"""The commands end to end over simulated engines: real Prefect, registry, Trivy, supervisor and Envoy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from dataclasses import replace
from typing import Any

import pytest

from registry.alias_log import get_aliases
from registry.digest import Digest
from registry.key_ring import load_trust
from registry.publish import list_versions
from registry.stage_cache import StageCache
from tests.simulators.project import ENGINES, Project, failed, released, traffic


def until(condition: Any, seconds: float = 60) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_the_same_release_again_is_the_same_version_and_runs_no_engine(place: Project) -> None:
    """A second identical release finds every stage's result."""
    place.push()
    first = released(place)
    second = released(place)
    assert first["version"] == second["version"] == "tiny/1"
    assert first["digests"] == second["digests"]
    assert first["verdicts"] == {"sanity": "pass", "quality": "pass", "scan": "error"}
    assert "accepted until" in first["scan"]
    assert get_aliases(place.store, load_trust(place.home), "tiny", "cpu").candidate == 1
    logs = [{p.name for p in run.glob("*.log")} for run in sorted(place.home.runs.iterdir())]
    assert "quantize.log" in logs[0]
    assert not {"quantize.log", "evaluate.log", "serve-candidate.log"} & logs[-1]


def test_a_policy_that_wants_fresh_evidence_has_it_measured_again(place: Project) -> None:
    """Old figures are not signed with a new date: the server runs once more."""
    place.push()
    released(place)
    place.home.policy.write_text("production: [{kind: quality, max_age: 30d}]\n")
    for entry in (place.home.cache / "evaluate").iterdir():
        known = json.loads(entry.read_bytes())["result"]
        StageCache(place.home.cache).put(
            "evaluate", Digest(entry.stem), {**known, "at": "2026-01-01T00:00:00+00:00"}
        )
    released(place)
    logs = {p.name for p in max(place.home.runs.iterdir()).glob("*.log")}
    assert "serve-candidate.log" in logs
    assert "quantize.log" not in logs


def test_a_worse_model_is_refused_and_nothing_is_published(place: Project) -> None:
    """The quality gate's fail is exit code 10, with the reason."""
    place.push(lost=0.3)
    code, error = failed(place)
    assert (code, error["kind"]) == (10, "GateFailed")
    assert "more than the margin" in error["why"]
    assert list_versions(place.store) == []


def test_a_model_that_knows_nothing_is_inconclusive(place: Project) -> None:
    """No better than guessing before and after is never a pass."""
    place.push(accuracy=0.0)
    code, error = failed(place)
    assert (code, error["kind"]) == (13, "Inconclusive")


def test_a_scan_without_database_stops_a_release_without_waiver(place: Project) -> None:
    """An error of the scanner is infrastructure, not a bad model, and publishes nothing."""
    place.push()
    code, error = failed(place, scan={"waiver": None})
    assert (code, error["kind"]) == (40, "InfrastructureError")
    assert list_versions(place.store) == []


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("quantize", {"bitts": 4}, "quantize.bitts"),
        ("rollout", {"weights": [50, 20]}, "weights"),
    ],
)
def test_a_mistake_in_the_spec_is_named_before_anything_is_fetched(
    place: Project, section: str, values: dict[str, Any], named: str
) -> None:
    """Exit code 2, the key's full path, and no request to the hub."""
    code, error = failed(place, **{section: values})
    assert code == 2
    assert named in " ".join(error.values())
    assert place.hub.requests == []


def test_an_unknown_model_is_named_with_the_hub_that_does_not_have_it(place: Project) -> None:
    """A typo in the model's name is a usage error, not a crash."""
    code, error = failed(place, model={"uri": "hf://acme/absent"})
    assert code == 2
    assert "acme/absent" in error["what"]


def test_a_second_version_takes_over_from_the_first_while_users_are_served(place: Project) -> None:
    """v1 becomes stable, v2 is judged on live traffic and promoted."""
    place.push()
    first = released(place, rollout={"auto": True})
    assert first["rollout"]["phase"] == "succeeded"
    with traffic(place.port):
        second = released(place, quantize={"group_size": 64}, rollout={"auto": True})
    assert second["rollout"]["weights"] == [20, 50, 100]
    aliases = get_aliases(place.store, load_trust(place.home), "tiny", "cpu")
    assert (aliases.production, aliases.previous) == (2, 1)
    observed = place.observed()
    assert observed["route"]["stable"] == "tiny-v2"
    assert [r["revision"] for r in observed["replicas"]] == ["tiny-v2"]


def test_a_canary_that_fails_requests_is_rolled_back_and_not_tried_again(place: Project) -> None:
    """Errors inside the canary send everything back to stable, with exit code 14, now and again."""
    place.push()
    released(place, rollout={"auto": True})
    place.push(serve=["--stream-error-rate", "0.6"])
    with traffic(place.port):
        code, error = failed(place, rollout={"auto": True})
    assert (code, error["kind"]) == (14, "RolledBack")
    assert get_aliases(place.store, load_trust(place.home), "tiny", "cpu").production == 1
    code, error = failed(place, rollout={"auto": True})
    assert (code, error["kind"]) == (14, "RolledBack")
    before = place.observed()["replicas"]
    spec = str(place.write_spec())
    code, _, err = place.command("promote", "tiny/1", "--spec", spec)
    assert code == 0, err
    assert place.observed()["replicas"] == before, "what is live already must not be touched"


def test_a_runtime_that_serves_worse_is_refused_for_the_same_weights(place: Project) -> None:
    """After an upgrade the candidate is compared with what users have: the old runtime's answers."""
    upgraded = replace(place, engines=place.folder / "engines")
    shutil.copytree(ENGINES, upgraded.engines)
    shutil.copy(ENGINES.parent / "engine.py", place.folder)
    place.push()
    released(upgraded, rollout={"auto": True})
    (upgraded.engines / "upgrade.json").write_text(json.dumps({"lost": 0.3}))
    code, error = failed(upgraded)
    assert (code, error["kind"]) == (10, "GateFailed")
    assert "against production" in error["why"]
    (upgraded.engines / "upgrade.json").write_text(json.dumps({"lost": 0.0}))
    assert released(upgraded)["version"] == "tiny/2"


def test_another_model_cannot_take_over_a_fleet(place: Project) -> None:
    """A canary is judged against the same model, or its users would lose theirs."""
    place.push()
    released(place, rollout={"auto": True})
    code, error = failed(place, registry={"name": "other"}, rollout={"auto": True})
    assert (code, error["kind"]) == (2, "UsageError")
    assert "serves tiny, not other" in error["what"]


@pytest.mark.parametrize("stage", ["quantize", "evaluate"])
def test_a_release_that_was_killed_goes_on_when_run_again(place: Project, stage: str) -> None:
    """kill -9 leaves orphans; the next run ends them and finishes the release."""
    place.push(**{f"{stage}_seconds": 20})
    process = place.start("release", str(place.write_spec()), "--json")
    until(lambda: any(place.home.runs.glob(f"*/{stage}.log")))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    orphans = place.processes()
    assert orphans
    place.push()
    assert released(place)["version"] == "tiny/1"
    assert not set(orphans) & set(place.processes())


@pytest.mark.parametrize("stage", ["fetch", "quantize", "serve-source", "evaluate"])
def test_ctrl_c_ends_a_release_and_all_its_processes(place: Project, stage: str) -> None:
    """Exit code 130, nothing published, no process left."""
    place.push(quantize_seconds=20 if stage == "quantize" else 0, evaluate_seconds=20)
    if stage == "fetch":
        place.hub.bytes_per_second = 1
    process = place.start("release", str(place.write_spec()), "--json")
    reached = "cache/downloads/*" if stage == "fetch" else f"runs/*/{stage}.log"
    until(lambda: any(place.home.root.glob(reached)))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert list_versions(place.store) == []
    until(lambda: place.processes() == [], 5)  # what was killed takes a moment to be gone


def test_a_promotion_that_was_killed_goes_on_with_the_fleet_it_left(place: Project) -> None:
    """The fleet outlives the flow; promoting again continues at the weight it had."""
    place.push()
    released(place, rollout={"auto": True})
    released(place, quantize={"group_size": 64})
    spec = str(place.write_spec(rollout={"min_requests": 40}))
    process = place.start("promote", "tiny/2", "--spec", spec, "--json")
    with traffic(place.port):
        until(lambda: _weight(place) == 20)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert place.processes(), "the fleet should go on"
        code, out, err = place.command("promote", "tiny/2", "--spec", spec, "--json")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["rollout"]["weights"] == [20, 50, 100]


def test_a_promotion_that_names_nothing_goes_where_the_users_are(place: Project) -> None:
    """Back to v1 by a canary on the fleet that serves v2, by its last plan; an empty fleet is refused."""
    place.push()
    released(place, rollout={"auto": True})
    with traffic(place.port):
        released(place, quantize={"group_size": 64}, rollout={"auto": True})
        code, out, _ = place.command("promote", "tiny/1", "--fleet", "empty", "--json")
        assert code == 2
        assert "take all requests at once" in json.loads(out.splitlines()[-1])["error"]["what"]
        code, out, err = place.command("promote", "tiny/1", "--json")
    assert code == 0, err
    assert "to the fleet test, which serves tiny now; by its last plan, 20, 50, 100 %" in err
    rollout = json.loads(out.splitlines()[-1])["rollout"]
    assert (rollout["fleet"], rollout["stable"], rollout["weights"]) == ("test", "tiny-v2", [20, 50, 100])
    aliases = get_aliases(place.store, load_trust(place.home), "tiny", "cpu")
    assert (aliases.production, aliases.previous) == (1, 2)
    assert not (place.home.fleets / "empty" / "desired.json").exists()


def test_promoting_what_is_stable_gives_up_the_rollout_under_way(place: Project) -> None:
    """Everybody is back on v1 at once; another version has to wait, and is told for what."""
    place.push()
    released(place, rollout={"auto": True})
    released(place, quantize={"group_size": 64})
    released(place, quantize={"group_size": 32})
    process = place.start("promote", "tiny/2", "--json")
    until(lambda: _weight(place) == 20)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["exit_code"] == 130
    code, _, err = place.command("promote", "tiny/3")
    assert code == 2
    assert "`headgate promote tiny/1 --fleet test` gives it up" in err
    code, out, err = place.command("promote", "tiny/1", "--json")
    assert code == 0, err
    rollout = json.loads(out.splitlines()[-1])["rollout"]
    assert rollout["reason"] == "the rollout of tiny-v2 was given up at 20 %"
    observed = place.observed()
    assert (observed["route"]["stable"], observed["route"]["canary"]) == ("tiny-v1", None)
    assert [r["revision"] for r in observed["replicas"]] == ["tiny-v1"]


def test_ctrl_c_in_a_rollout_leaves_users_on_what_they_had(place: Project) -> None:
    """The canary that was being started gets no traffic; promoting again goes on."""
    place.push(serve=["--start-delay", "3"])
    process = place.start("release", str(place.write_spec(rollout={"auto": True})), "--json")
    until((place.home.fleets / "test" / "tiny-v1.log").exists)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert get_aliases(place.store, load_trust(place.home), "tiny", "cpu").production is None
    code, _, err = place.command("promote", "tiny/1", "--spec", str(place.folder / "spec.yaml"))
    assert code == 0, err
    assert get_aliases(place.store, load_trust(place.home), "tiny", "cpu").production == 1


def test_a_port_in_use_is_named(place: Project) -> None:
    """The gateway's port belongs to another program: said before anything is fetched."""
    place.push()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", place.port))
        taken.listen()
        code, error = failed(place, rollout={"auto": True})
    assert code == 2
    assert str(place.port) in error["what"]
    assert place.hub.requests == []
    assert place.processes() == []


def test_down_leaves_no_process(place: Project) -> None:
    """Supervisor, gateway and replicas all end; the versions stay."""
    place.push()
    released(place, rollout={"auto": True})
    assert place.processes()
    code, _, err = place.command("down", "--fleet", "test", "--json")
    assert code == 0, err
    assert place.processes() == []
    assert [v.reference for v in list_versions(place.store)] == ["tiny/1"]


def _weight(place: Project) -> int | None:
    data = place.store.get("rollouts/test.json")
    return json.loads(data)["weight"] if data else None
