"""Envoy's configuration as data: who gets which share, under which name, and when a version changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleet.envoy_config import clusters, envoy_command, listener, routes
from fleet.router import Route


def action_of(route: Route) -> dict[str, Any]:
    entry: dict[str, Any] = routes(route)["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]
    return entry


def test_the_canary_comes_first_and_both_arms_are_named() -> None:
    """The hash then keeps a session's arm when the weight rises."""
    shares = action_of(Route("m-v1", "m-v2", 25))["weighted_clusters"]["clusters"]
    assert [(share["name"], share["weight"]) for share in shares] == [("m-v2+m-v1", 25), ("m-v1", 75)]
    arms = [share["request_headers_to_add"][0]["header"]["value"] for share in shares]
    assert arms == ["m-v2", "m-v1"]


def test_promotion_only_moves_a_pointer() -> None:
    """The cluster of a revision is the same before and after; only the routes differ."""
    before = {c["name"]: c for c in clusters({"m-v1": [1], "m-v2": [2]})["resources"]}
    after = {c["name"]: c for c in clusters({"m-v2": [2]})["resources"]}
    assert after["m-v2"] == before["m-v2"]
    assert set(before) == {"m-v1", "m-v2", "m-v2+m-v1", "m-v1+m-v2"}
    assert routes(Route("m-v2")) != routes(Route("m-v1"))


def test_stable_alone_is_not_retried() -> None:
    """There is nobody else to ask, and a second try would hide an error from the log."""
    assert "retry_policy" not in action_of(Route("m-v1"))
    assert action_of(Route("m-v1", "m-v2", 5))["retry_policy"]["num_retries"] == 1


def test_with_nobody_to_serve_the_answer_is_a_503_in_the_api_s_own_shape() -> None:
    """An empty weighted list would be rejected by Envoy."""
    entry = routes(Route())["resources"][0]["virtual_hosts"][0]["routes"][0]
    assert entry["direct_response"]["status"] == 503


def test_the_same_content_has_the_same_version_and_other_content_another() -> None:
    """So a restarted supervisor finds its work done."""
    assert routes(Route("a", "b", 5)) == routes(Route("a", "b", 5))
    assert routes(Route("a", "b", 5))["version_info"] != routes(Route("a", "b", 6))["version_info"]


def test_paths_with_spaces_stay_whole() -> None:
    """A home folder may be called anything."""
    folder = Path("/a home/x")
    text = str(listener(80, folder / "access.log", folder))
    assert "/a home/x/access.log" in text
    assert "/a home/x/b.json" in envoy_command("envoy", folder / "b.json", folder / "admin")
