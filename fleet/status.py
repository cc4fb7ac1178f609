"""Where a rollout is: one frozen value that is saved before every act and is enough to go on from.

It holds the phase, the measurements and the specs of both replicas, so a killed rollout continues and a
rollback is possible from the saved status alone. It decides nothing; ``fleet/rollout.py`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from fleet.observation import Comparison
from fleet.plan import RolloutPlan
from fleet.router import ReplicaSpec
from judging.verdict import FailureClass, Verdict

_FORMAT = 1


class Phase(StrEnum):
    """The phases of a rollout."""

    PENDING = "pending"
    PREPARING = "preparing"
    PROGRESSING = "progressing"
    PAUSED = "paused"
    BAKING = "baking"
    PROMOTING = "promoting"
    SUCCEEDED = "succeeded"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the rollout is over."""
        return self in {Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.FAILED}

    @property
    def is_judged(self) -> bool:
        """Whether the canary has traffic to be judged on."""
        return self in {Phase.PROGRESSING, Phase.BAKING}


@dataclass(frozen=True)
class Move:
    """One line of the timeline: when (seconds since the epoch), into which phase and weight, and why."""

    at: float
    phase: Phase
    weight: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class RolloutStatus:
    """The state of one rollout.

    ``since`` is when the phase or weight was entered (seconds since the epoch), ``position`` where the
    request records were read up to, ``judge_errors`` how many looks in a row could not be judged. ``plan``
    is None in a status that was written before plans were kept.
    """

    name: str
    port: int
    canary: ReplicaSpec
    stable: ReplicaSpec | None
    since: float
    phase: Phase = Phase.PENDING
    step: int = 0
    weight: int = 0
    position: int = 0
    comparison: Comparison = field(default_factory=Comparison)
    judge_errors: int = 0
    verdict: Verdict | None = None
    reason: str = ""
    failure_class: FailureClass | None = None
    history: tuple[Move, ...] = ()
    plan: RolloutPlan | None = None

    @property
    def is_resting(self) -> bool:
        """Whether nothing happens until a person promotes again."""
        return self.phase.is_terminal or self.phase is Phase.PAUSED

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        return {
            "format": _FORMAT,
            "name": self.name,
            "port": self.port,
            "canary": self.canary.to_json(),
            "stable": self.stable.to_json() if self.stable else None,
            "since": self.since,
            "phase": str(self.phase),
            "step": self.step,
            "weight": self.weight,
            "position": self.position,
            "comparison": self.comparison.to_json(),
            "judge_errors": self.judge_errors,
            "verdict": self.verdict.to_json() if self.verdict else None,
            "reason": self.reason,
            "failure_class": self.failure_class and str(self.failure_class),
            "history": [asdict(move) for move in self.history],
            "plan": self.plan.to_json() if self.plan else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RolloutStatus:
        """Read what ``to_json`` wrote; raises KeyError, TypeError or ValueError on anything else."""
        if value["format"] != _FORMAT:
            raise ValueError(f"rollout status of format {value['format']}, this version reads {_FORMAT}")
        failure = value["failure_class"]
        return cls(
            name=value["name"],
            port=value["port"],
            canary=ReplicaSpec.from_json(value["canary"]),
            stable=ReplicaSpec.from_json(value["stable"]) if value["stable"] else None,
            since=value["since"],
            phase=Phase(value["phase"]),
            step=value["step"],
            weight=value["weight"],
            position=value["position"],
            comparison=Comparison.from_json(value["comparison"]),
            judge_errors=value["judge_errors"],
            verdict=Verdict.from_json(value["verdict"]) if value["verdict"] else None,
            reason=value["reason"],
            failure_class=FailureClass(failure) if failure else None,
            history=tuple(Move(**{**move, "phase": Phase(move["phase"])}) for move in value["history"]),
            plan=RolloutPlan.from_json(value["plan"]) if value.get("plan") else None,
        )
