"""``policy.yaml``: what each alias asks for, in a file that people read, review and edit.

    production:
      - kind: quality
        max_age: 30d
      - kind: approval
        count: 1
        four_eyes: true
        signed_by: [ann, bob]

A section that is left out is as in ``policy.DEFAULT``. One that asks for anything asks for ``release`` as
well, written down or not: nothing else binds a version's record, image and name to what was judged.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from registry.home import Home
from registry.policy import DEFAULT, REQUIRABLE, Policy, Requirement
from registry.predicates import RELEASE
from registry.validation import did_you_mean, explain, read_yaml
from registry.version import check_name

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def load_policy(home: Home) -> Policy:
    """The policy of this home, the default one without a file; UsageError names what is wrong in it."""
    return read_policy(home.policy) if home.policy.exists() else DEFAULT


def read_policy(path: Path) -> Policy:
    """The policy in a file; raises UsageError that names what is wrong in it."""
    try:
        file = _PolicyFile.model_validate(read_yaml(path))
    except ValidationError as problem:
        raise explain(problem, _PolicyFile, str(path)) from None
    return Policy(
        staging=DEFAULT.staging if file.staging is None else _values(file.staging),
        production=DEFAULT.production if file.production is None else _values(file.production),
    )


def parse_duration(text: str) -> timedelta:
    """A duration such as ``90d``, ``12h``, ``30m`` or ``2w``; ValueError for anything else."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", text)
    if not match:
        raise ValueError(f"must be a duration such as 90d, 12h, 30m or 2w, not {text!r}")
    return int(match[1]) * _UNITS[match[2]]


class _Requirement(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: str
    max_age: timedelta | None = None
    signed_by: list[str] = []
    count: int = 1
    four_eyes: bool = False

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in REQUIRABLE:
            raise ValueError(f"{kind!r} is nothing a policy can ask for; {did_you_mean(kind, REQUIRABLE)}")
        return kind

    @field_validator("max_age", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> timedelta | None:
        return None if value is None else parse_duration(str(value))

    @field_validator("signed_by")
    @classmethod
    def _names(cls, names: list[str]) -> list[str]:
        return [check_name(name) for name in names]

    @model_validator(mode="after")
    def _possible(self) -> _Requirement:
        self.value()
        return self

    def value(self) -> Requirement:
        return Requirement(**{**self.model_dump(), "signed_by": frozenset(self.signed_by)})


class _PolicyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    staging: list[_Requirement] | None = None
    production: list[_Requirement] | None = None


def _values(requirements: list[_Requirement]) -> tuple[Requirement, ...]:
    values = tuple(requirement.value() for requirement in requirements)
    implied = values and RELEASE not in {value.kind for value in values}
    return (*values, Requirement(kind=RELEASE)) if implied else values
