"""Where a promotion goes, and who is not moved at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleet.plan import RolloutPlan
from fleet.rollout import abort, desired_state, start_rollout
from fleet.roster import (
    KnownFleet,
    Target,
    choose_target,
    get_fleet,
    insist_on_canary,
    reference_of,
    the_fleet,
)
from fleet.router import DesiredState, ReplicaSpec
from fleet.status import Phase, RolloutStatus
from registry.errors import UsageError

DEFAULT = RolloutPlan()
QUICK = RolloutPlan(weights=(20, 100), min_requests=5)
NOBODY = KnownFleet("local")


def replica(number: int, model: str = "tiny") -> ReplicaSpec:
    return ReplicaSpec(f"{model}-v{number}", ("serve", "{port}"), model=model)


def begun(number: int, stable: int | None = None, model: str = "tiny", port: int = 8480) -> RolloutStatus:
    """A rollout in phase pending."""
    canary, old = replica(number, model), replica(stable, model) if stable else None
    status = start_rollout(canary.revision, canary=canary, stable=old, port=port, now=0.0)
    return replace(status, plan=QUICK)


def fleet(name: str, status: RolloutStatus) -> KnownFleet:
    """A fleet that was made what its rollout wants."""
    return KnownFleet(name, status, desired_state(status))


def serves(name: str, number: int, model: str = "tiny") -> KnownFleet:
    """A fleet whose last rollout succeeded."""
    return fleet(name, replace(begun(number, model=model), phase=Phase.SUCCEEDED, weight=100))


def down(known: KnownFleet) -> KnownFleet:
    """The same fleet after `headgate down`."""
    status = known.status and abort(known.status, 1.0, "the fleet was taken down")
    return KnownFleet(known.name, status, DesiredState(port=None))


def target(*fleets: KnownFleet, name: str | None = None, plan: RolloutPlan | None = None) -> Target:
    return choose_target("tiny", fleets, fleet=name, port=None, plan=plan, default_plan=DEFAULT)


def test_a_promotion_that_names_no_fleet_goes_where_the_model_is_served() -> None:
    """On the port it has, by the plan it had, and people are told why."""
    found = target(serves("quickstart", 2), serves("shop", 1, model="other"))
    assert (found.fleet, found.port, found.plan) == ("quickstart", 8480, QUICK)
    assert found.reason == "which serves tiny now; by its last plan, 20, 100 %"


def test_what_is_said_wins_over_what_was() -> None:
    """A plan of the command's own, on the fleet that serves."""
    found = target(serves("quickstart", 2), plan=DEFAULT)
    assert (found.fleet, found.plan) == ("quickstart", DEFAULT)
    assert "plan" not in found.reason


def test_a_rollout_that_has_begun_goes_on_where_it_is() -> None:
    """Nobody is served yet, but its replica starts there."""
    assert target(fleet("b", replace(begun(1), phase=Phase.PREPARING))).fleet == "b"


def test_between_two_fleets_a_person_chooses() -> None:
    """Both are named."""
    with pytest.raises(UsageError, match=r"More than one fleet serves tiny.*: a, b.*--fleet NAME"):
        target(serves("a", 2), serves("b", 1))
    assert target(serves("a", 2), serves("b", 1), name="b").fleet == "b"


def test_a_fleet_that_was_taken_down_comes_back_with_a_promotion() -> None:
    """Unless another one serves the model."""
    assert target(down(serves("a", 2))).fleet == "a"
    assert target(down(serves("a", 2)), serves("b", 1)).fleet == "b"


def test_the_first_fleet_of_a_model_is_called_local() -> None:
    """With the defaults."""
    found = target(serves("shop", 1, model="other"))
    assert (found.fleet, found.port, found.plan) == ("local", 8000, DEFAULT)


def test_users_elsewhere_are_not_left_behind() -> None:
    """An empty fleet does not take another version than production while production is served elsewhere."""
    with pytest.raises(UsageError, match=r"all requests at once.*quickstart.*tiny/1 --fleet quickstart"):
        insist_on_canary(begun(1), "local", [serves("quickstart", 2)], "tiny-v2")


def test_a_fleet_that_was_down_is_as_empty_as_a_new_one() -> None:
    """What succeeded there once has met nobody who is served now."""
    past = serves("local", 1)
    assert past.status
    with pytest.raises(UsageError, match="all requests at once"):
        insist_on_canary(past.status, "local", [down(past), serves("quickstart", 2)], "tiny-v2")


@pytest.mark.parametrize(
    ("status", "fleets", "production"),
    [
        (begun(1), [NOBODY], None),
        (begun(1), [down(serves("quickstart", 2))], "tiny-v2"),
        (begun(2), [serves("quickstart", 2)], "tiny-v2"),
        (begun(3, stable=2), [serves("quickstart", 2)], "tiny-v2"),
        (serves("local", 1).status, [serves("local", 1), serves("quickstart", 2)], "tiny-v2"),
    ],
    ids=["a first version", "all is down", "production to one more fleet", "a canary", "served here already"],
)
def test_nobody_is_left_behind_by(
    status: RolloutStatus, fleets: list[KnownFleet], production: str | None
) -> None:
    """Such a rollout begins."""
    insist_on_canary(status, "local", fleets, production)


def test_giving_up_is_not_a_first_rollout_even_while_promoting() -> None:
    """All requests are on the canary already; stable has been there all the time."""
    under_way = fleet("a", replace(begun(3, stable=1), phase=Phase.PROMOTING, weight=100))
    back = start_rollout("tiny-v1", canary=replica(1), stable=replica(1), port=8480, now=1.0)
    insist_on_canary(back, "a", [under_way, serves("b", 2)], "tiny-v2")


def test_a_fleet_that_is_not_there_is_told_with_those_that_are() -> None:
    """A typo costs a sentence."""
    with pytest.raises(UsageError, match=r"no fleet 'lcoal' here.*a, b"):
        get_fleet([serves("a", 1), serves("b", 1)], "lcoal")


def test_one_fleet_needs_no_name() -> None:
    """None is an answer, several are a question."""
    assert the_fleet([]) is None
    assert the_fleet([NOBODY]) == NOBODY
    with pytest.raises(UsageError, match="more than one fleet here: local, local"):
        the_fleet([NOBODY, NOBODY])


def test_a_replica_is_told_as_the_version_people_promote() -> None:
    """Names may have dashes; what is no version of ours stays as it is."""
    assert reference_of(replica(12, "my-model")) == "my-model/12"
    assert reference_of(ReplicaSpec("blue", ("serve", "{port}"), model="tiny")) == "blue"


def test_the_plan_of_a_rollout_is_kept_with_its_status() -> None:
    """And a status of before has none."""
    status = begun(1)
    assert RolloutStatus.from_json(status.to_json()) == status
    older = {key: value for key, value in status.to_json().items() if key != "plan"}
    assert RolloutStatus.from_json(older).plan is None
