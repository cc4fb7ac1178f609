"""The spec's sections about gates that judge by limits: fidelity and scan; and what every section is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class Section(BaseModel):
    """A part of the spec: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Fidelity(Section):
    """How far quantized weights may be from their source, on top of the noise of the server."""

    max_kl: float = Field(
        0.15, gt=0, allow_inf_nan=False, description="KL divergence from the source, in nats per token"
    )
    min_agreement: float = Field(
        0.85, gt=0, lt=1, description="least share of tokens of which the likeliest one is the source's"
    )
    max_perplexity_ratio: float = Field(
        1.15, gt=1, allow_inf_nan=False, description="perplexity, as a multiple of the source's"
    )


class Severity(StrEnum):
    """How bad a vulnerability is, in the scanner's words."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class Waiver(Section):
    """Lets a scan that could not answer pass policy, in the open, for a while."""

    owner: str = Field(min_length=1, description="who answers for it")
    reason: str = Field(min_length=10, description="why it may ship without an answer")
    valid_for: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}d$")] = Field(
        "7d", description="how long after the scan the release may still be promoted, in days: 7d"
    )


class Scan(Section):
    """The vulnerability policy."""

    fail_on: tuple[Severity, ...] = Field((Severity.CRITICAL,), description="severities that stop a release")
    ignore_unfixed: bool = Field(True, description="findings without a fixed version do not fail")
    max_db_age_days: int = Field(7, ge=1, description="an older vulnerability database is an error")
    waiver: Waiver | None = None
