"""What was measured: per-revision sums over request records, and the comparison that grows from them.

Pure and additive: sums of two stretches of log add, so a rollout keeps a few numbers instead of its
requests. What the sums mean for the rollout is judged in ``fleet/analysis.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from fleet.access_log import RequestRecord
from judging.sequential import Moments, RateRatioEvidence


@dataclass(frozen=True, kw_only=True)
class RevisionStats:
    """Sums over the requests the split gave to one revision (the unit of randomisation).

    ``requests`` counts all; of these, ``errors`` failed, ``aborted`` lost their client and ``refused``
    were user errors. ``ttft`` holds log milliseconds; decoding is the time after the first token.
    """

    requests: int = 0
    errors: int = 0
    aborted: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    decode_ms: float = 0.0
    decoded_tokens: int = 0
    ttft: Moments = field(default_factory=Moments)

    def __add__(self, other: RevisionStats) -> RevisionStats:
        return RevisionStats(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(RevisionStats)}
        )

    @property
    def judged(self) -> int:
        """The requests that can be called good or bad."""
        return self.requests - self.aborted - self.refused

    @property
    def error_rate(self) -> float:
        """Errors per judged request; 0 without any."""
        return self.errors / self.judged if self.judged else 0.0

    @property
    def ttft_ms(self) -> float | None:
        """The geometric mean of the time to first token in milliseconds."""
        return math.exp(self.ttft.mean) if self.ttft.count else None

    @property
    def token_ms(self) -> float | None:
        """The mean time per output token after the first, in milliseconds."""
        return self.decode_ms / self.decoded_tokens if self.decoded_tokens else None

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**plain, "ttft": self.ttft.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RevisionStats:
        """Read what ``to_json`` wrote."""
        return cls(**{**value, "ttft": Moments.from_json(value["ttft"])})


@dataclass(frozen=True)
class Observation:
    """What a look brought: the sums per revision, and the position to go on from."""

    position: int
    stats: Mapping[str, RevisionStats]


def tally(records: Iterable[RequestRecord], revisions: Iterable[str]) -> dict[str, RevisionStats]:
    """The sums of the records per revision, for each of ``revisions``; only requests that ask a model."""
    sums = {revision: RevisionStats() for revision in revisions}
    for record in records:
        arm = record.arm or record.revision
        if arm in sums and record.asks_a_model:
            sums[arm] += _stats_of(record)
    return sums


def _stats_of(record: RequestRecord) -> RevisionStats:
    # A time measured on another revision's answer, or on an error, says nothing about this one.
    ttft = None if record.failed or record.refused else record.ttft_ms
    tokens = record.completion_tokens or 0
    decoded = tokens - 1 if ttft is not None and record.total_ms is not None and tokens > 1 else 0
    return RevisionStats(
        requests=1,
        errors=int(record.failed),
        aborted=int(record.aborted),
        refused=int(record.refused),
        prompt_tokens=record.prompt_tokens or 0,
        completion_tokens=tokens,
        decode_ms=(record.total_ms or 0.0) - (ttft or 0.0) if decoded else 0.0,
        decoded_tokens=decoded,
        ttft=Moments.of([math.log(ttft)]) if ttft else Moments(),
    )


@dataclass(frozen=True)
class Stratum:
    """Time to first token of both arms while one weight was in force."""

    weight: int
    stable: Moments = field(default_factory=Moments)
    canary: Moments = field(default_factory=Moments)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything a rollout has measured: sums per arm, sequential evidence, and the present step's count."""

    stable: RevisionStats = field(default_factory=RevisionStats)
    canary: RevisionStats = field(default_factory=RevisionStats)
    error_ratio: RateRatioEvidence = field(default_factory=RateRatioEvidence)
    strata: tuple[Stratum, ...] = ()
    step_requests: int = 0

    def updated(
        self, weight: int, stable: RevisionStats, canary: RevisionStats, allowed_ratio: float
    ) -> Comparison:
        """The comparison after another look at this weight."""
        return Comparison(
            stable=self.stable + stable,
            canary=self.canary + canary,
            error_ratio=self.error_ratio.updated(
                canary=(canary.errors, canary.judged),
                stable=(stable.errors, stable.judged),
                allowed_ratio=allowed_ratio,
            ),
            strata=self._with_latencies(weight, stable.ttft, canary.ttft),
            step_requests=self.step_requests + canary.judged,
        )

    def _with_latencies(self, weight: int, stable: Moments, canary: Moments) -> tuple[Stratum, ...]:
        if weight >= 100:  # stable only finishes what it had: nothing concurrent to compare with
            return self.strata
        old = next((s for s in self.strata if s.weight == weight), Stratum(weight))
        others = tuple(s for s in self.strata if s.weight != weight)
        return (*others, Stratum(weight, old.stable + stable, old.canary + canary))

    def at_new_step(self) -> Comparison:
        """The same evidence, with the step's requests counted anew."""
        return replace(self, step_requests=0)

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        return {
            "stable": self.stable.to_json(),
            "canary": self.canary.to_json(),
            "error_ratio": self.error_ratio.to_json(),
            "strata": [[s.weight, s.stable.to_json(), s.canary.to_json()] for s in self.strata],
            "step_requests": self.step_requests,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Comparison:
        """Read what ``to_json`` wrote."""
        return cls(
            stable=RevisionStats.from_json(value["stable"]),
            canary=RevisionStats.from_json(value["canary"]),
            error_ratio=RateRatioEvidence.from_json(value["error_ratio"]),
            strata=tuple(
                Stratum(weight, Moments.from_json(s), Moments.from_json(c))
                for weight, s, c in value["strata"]
            ),
            step_requests=value["step_requests"],
        )
