"""Which fleets this machine has, and which of them a promotion goes to. Pure; ``tasks`` reads the records.

A promotion that names no fleet goes where the model's users are. And nobody is moved at once, without a
canary, while the version in production is served by another fleet: its users would stay behind, and the
alias would name what nobody has judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fleet.plan import RolloutPlan
from fleet.router import DesiredState, ReplicaSpec
from fleet.status import Phase, RolloutStatus
from registry.errors import UsageError

_NEW_FLEET, _NEW_PORT = "local", 8000


@dataclass(frozen=True)
class KnownFleet:
    """A fleet: its last rollout, and what it is asked to be. One that was never started is not known."""

    name: str
    status: RolloutStatus | None = None
    desired: DesiredState | None = None

    @property
    def serving(self) -> frozenset[str]:
        """The revisions that its users' requests may reach now, or go back to."""
        if self.desired is None or self.desired.port is None:
            return frozenset()
        back = self.status.stable if self.status and not self.status.phase.is_terminal else None
        return self.desired.route.revisions | ({back.revision} if back else frozenset())

    @property
    def replicas(self) -> tuple[ReplicaSpec, ...]:
        """What it serves, is about to serve, or goes back to."""
        planned = (self.status.canary, self.status.stable) if self.status else ()
        running = self.desired.replicas if self.desired else ()
        return (*(spec for spec in planned if spec), *running)

    def runs(self, model: str) -> bool:
        """Whether it has a replica of this model now."""
        return self.desired is not None and any(spec.model == model for spec in self.desired.replicas)

    def knew(self, model: str) -> bool:
        """Whether its last rollout was of this model."""
        return self.status is not None and self.status.canary.model == model


@dataclass(frozen=True)
class Target:
    """Where a promotion goes: the fleet, its gateway's loopback port, how, and what people are told of it."""

    fleet: str
    port: int
    plan: RolloutPlan
    reason: str


def choose_target(
    model: str,
    fleets: Sequence[KnownFleet],
    *,
    fleet: str | None,
    port: int | None,
    plan: RolloutPlan | None,
    default_plan: RolloutPlan,
) -> Target:
    """Where this model goes; what is left open (None) is as the fleet had it last.

    Raises UsageError when no fleet is named and it cannot be told which is meant.
    """
    known, reason = (find_fleet(fleets, fleet), "") if fleet else _fleet_of(model, fleets)
    last = known.status if known else None
    if plan is None and last and last.plan:
        reason += f"{'; ' if reason else ''}by its last plan, {_steps(last.plan)}"
    return Target(
        fleet or (known.name if known else _NEW_FLEET),
        port or (last.port if last else _NEW_PORT),
        plan or (last.plan if last else None) or default_plan,
        reason,
    )


def find_fleet(fleets: Sequence[KnownFleet], name: str) -> KnownFleet | None:
    """The fleet of this name."""
    return next((fleet for fleet in fleets if fleet.name == name), None)


def get_fleet(fleets: Sequence[KnownFleet], name: str) -> KnownFleet:
    """The fleet of this name; raises UsageError, naming those there are."""
    if known := find_fleet(fleets, name):
        return known
    raise UsageError(
        f"There is no fleet {name!r} here",
        why=f"these were started: {_names(fleets)}" if fleets else "no fleet has been started here",
        next_step="name one of them with --fleet" if fleets else "promote a version: that starts one",
    )


def the_fleet(fleets: Sequence[KnownFleet]) -> KnownFleet | None:
    """The only fleet there is, or None; raises UsageError when there are more."""
    if len(fleets) < 2:
        return fleets[0] if fleets else None
    raise UsageError(
        f"There is more than one fleet here: {_names(fleets)}",
        next_step="name the one you mean: --fleet NAME",
    )


def insist_on_canary(
    status: RolloutStatus, name: str, fleets: Sequence[KnownFleet], production: str | None
) -> None:
    """Refuse to begin a rollout that gives everybody at ``name`` a version nobody there has now, unjudged.

    ``production`` is the revision that the alias names. Raises UsageError while another fleet serves it.
    """
    here = find_fleet(fleets, name)
    is_judged = status.stable is not None and status.phase is not Phase.SUCCEEDED
    canary = status.canary
    if is_judged or canary.revision == production or (here and canary.revision in here.serving):
        return
    elsewhere = next((f for f in fleets if f.name != name and production in f.serving), None)
    if elsewhere is None or production is None:
        return
    new, live = reference_of(canary), reference_of(canary, production)
    raise UsageError(
        f"{new} is not rolled out to the fleet {name}: it would take all requests at once, without a canary",
        why=f"the fleet {name} serves nothing now, and {live}, in production, is served by the fleet "
        f"{elsewhere.name}",
        next_step=f"`headgate promote {new} --fleet {elsewhere.name}` rolls it out where the users are; to "
        f"have it on {name} too, promote {live} there first, as what it is compared with",
    )


def reference_of(spec: ReplicaSpec, revision: str | None = None) -> str:
    """The version, as people name it, that a replica serves; or another revision of the same model."""
    name = revision or spec.revision
    number = name.removeprefix(f"{spec.model}-v")
    return name if number == name else f"{spec.model}/{number}"


def _fleet_of(model: str, fleets: Sequence[KnownFleet]) -> tuple[KnownFleet | None, str]:
    serving = [fleet for fleet in fleets if fleet.runs(model)]
    found = serving or [fleet for fleet in fleets if fleet.knew(model)]
    relation = "serves" if serving else "served"
    if len(found) > 1:
        raise UsageError(
            f"More than one fleet {relation} {model}, and a promotion changes one: {_names(found)}",
            next_step="name it: --fleet NAME, or `rollout.fleet` in the spec",
        )
    if not found:
        return find_fleet(fleets, _NEW_FLEET), f"no fleet here serves {model}"
    return found[0], f"which {relation} {model} {'now' if serving else 'last'}"


def _names(fleets: Sequence[KnownFleet]) -> str:
    return ", ".join(fleet.name for fleet in fleets)


def _steps(plan: RolloutPlan) -> str:
    return ", ".join(str(weight) for weight in plan.weights) + " %"
