"""The spec's sections beside the suite: fidelity, APIs to compare with, scan; and what every section is."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from eval_suites.comparison import (
    BEFORE,
    CANDIDATE,
    FLOOR,
    PRODUCTION,
    PRODUCTION_ON_NEW_RUNTIME,
    REVIEW,
    SOURCE,
)
from tasks.redact import is_secret_name

_TAKEN = {CANDIDATE, FLOOR, REVIEW, SOURCE, PRODUCTION, PRODUCTION_ON_NEW_RUNTIME, BEFORE}


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


def _free_name(name: str) -> str:
    if name in _TAKEN:
        raise ValueError(f"{name!r} is what reports call something else; choose another name")
    return name


def _plain_url(url: str) -> str:
    """Never shown where it is wrong: what is wrong may be a password."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        known, parts = None, urlsplit("")
    if not known or re.search(r"[^\x21-\x7e]", url):
        raise ValueError(
            "must be https://HOST/v1 or http://HOST:PORT/v1, whatever comes before /chat/completions"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "must be without a user, password, query or fragment; name the key as key_secret or key_env"
        )
    return url


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not is_secret_name(name):
        raise ValueError(
            "must be the name of a variable that ends with KEY, TOKEN or SECRET: what is so named is kept out"
            " of logs, and from the servers that are started"
        )
    return name


class Compared(Section):
    """An OpenAI-compatible API that is asked the suite's items too: shown beside, never judged by."""

    name: Annotated[
        str,
        StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=32),
        AfterValidator(_free_name),
    ] = Field(description="what reports call it")
    url: Annotated[str, AfterValidator(_plain_url)] = Field(
        description="what comes before /chat/completions", examples=["https://api.example.com/v1"]
    )
    model: str = Field(min_length=1, max_length=200, description="the model's name there")
    key_secret: str | None = Field(None, description="name of the Prefect Secret that holds its key")
    key_env: Annotated[str, AfterValidator(_variable)] | None = Field(
        None, description="or name of the environment variable that does"
    )

    @model_validator(mode="after")
    def _one_key(self) -> Compared:
        if self.key_secret and self.key_env:
            raise ValueError("the key is in key_secret or in key_env, not in both")
        return self


def _once_each(apis: tuple[Compared, ...]) -> tuple[Compared, ...]:
    names = [api.name for api in apis]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"names are given twice: {', '.join(twice)}")
    return apis


Compare = Annotated[tuple[Compared, ...], AfterValidator(_once_each)]
"""APIs by names of their own."""


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
