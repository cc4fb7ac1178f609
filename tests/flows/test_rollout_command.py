"""Rollouts end to end over simulated engines, with users: real Prefect, registry, supervisor and Envoy."""

from __future__ import annotations

import json
import signal

from registry.alias_log import get_aliases
from registry.key_ring import load_trust
from registry.publish import list_versions
from tests.simulators.project import Project, failed, released, traffic, until


def test_a_second_version_takes_over_from_the_first_while_users_are_served(place: Project) -> None:
    """v1 becomes stable, v2 is judged on live traffic and promoted."""
    place.push()
    first = released(place, rollout={"auto": True})
    assert first["rollout"]["phase"] == "succeeded"
    with traffic(place.port):
        second = released(place.together(), quantize={"group_size": 64}, rollout={"auto": True})
    assert second["rollout"]["weights"] == [20, 50, 100]
    aliases = get_aliases(place.store, load_trust(place.home), "tiny", "cpu")
    assert (aliases.production, aliases.previous) == (2, 1)
    assert place.observed()["route"]["stable"] == "tiny-v2"
    until(lambda: [r["revision"] for r in place.observed()["replicas"]] == ["tiny-v2"])


def test_a_canary_that_fails_requests_is_rolled_back_and_not_tried_again(place: Project) -> None:
    """Errors inside the canary send everything back to stable, with exit code 14, now and again."""
    place.push()
    released(place.together(), rollout={"auto": True})
    place.push(serve=["--stream-error-rate", "0.6"])
    with traffic(place.port):
        code, error = failed(place, rollout={"auto": True})
    assert (code, error["kind"]) == (14, "RolledBack")
    assert get_aliases(place.store, load_trust(place.home), "tiny", "cpu").production == 1
    code, error = failed(place.together(), rollout={"auto": True})
    assert (code, error["kind"]) == (14, "RolledBack")
    before = place.observed()["replicas"]
    spec = str(place.write_spec())
    code, _, err = place.together().command("promote", "tiny/1", "--spec", spec)
    assert code == 0, err
    assert place.observed()["replicas"] == before, "what is live already must not be touched"


def test_another_model_cannot_take_over_a_fleet(place: Project) -> None:
    """A canary is judged against the same model, or its users would lose theirs."""
    place.push()
    released(place, rollout={"auto": True})
    code, error = failed(place.together(), registry={"name": "other"}, rollout={"auto": True})
    assert (code, error["kind"]) == (2, "UsageError")
    assert "serves tiny, not other" in error["what"]


def test_a_promotion_that_names_nothing_goes_where_the_users_are(place: Project) -> None:
    """Back to v1 by a canary on the fleet that serves v2, by its last plan; an empty fleet is refused."""
    place.push()
    released(place.together(), rollout={"auto": True})
    with traffic(place.port):
        released(place, quantize={"group_size": 64}, rollout={"auto": True})
        code, out, _ = place.together().command("promote", "tiny/1", "--fleet", "empty", "--json")
        assert code == 2
        assert "take all requests at once" in json.loads(out.splitlines()[-1])["error"]["what"]
        code, out, err = place.together().command("promote", "tiny/1", "--json")
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
    released(place.together(), rollout={"auto": True})
    released(place.together(), quantize={"group_size": 64})
    released(place.together(), quantize={"group_size": 32})
    process = place.start("promote", "tiny/2", "--json")
    until(lambda: place.weight() == 20)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["exit_code"] == 130
    code, _, err = place.together().command("promote", "tiny/3")
    assert code == 2
    assert "`headgate promote tiny/1 --fleet test` gives it up" in err
    code, out, err = place.together().command("promote", "tiny/1", "--json")
    assert code == 0, err
    rollout = json.loads(out.splitlines()[-1])["rollout"]
    assert rollout["reason"] == "the rollout of tiny-v2 was given up at 20 %"
    route = place.observed()["route"]
    assert (route["stable"], route["canary"]) == ("tiny-v1", None)
    until(lambda: [r["revision"] for r in place.observed()["replicas"]] == ["tiny-v1"])


def test_down_leaves_no_process(place: Project) -> None:
    """Supervisor, gateway and replicas all end; the versions stay."""
    place.push()
    released(place, rollout={"auto": True})
    assert place.processes()
    code, _, err = place.command("down", "--fleet", "test", "--json")
    assert code == 0, err
    assert place.processes() == []
    assert [v.reference for v in list_versions(place.store)] == ["tiny/1"]
