"""``trusted.yaml``: the keys whose signatures count, in a file people read, review and may edit."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from registry.atomic import write_file
from registry.predicates import KINDS
from registry.trust import Trust, TrustedKey
from registry.validation import did_you_mean, explain, read_yaml

_HEADER = """\
# Whose signatures count here. `headgate keys trust` and `distrust` write this file anew, without comments.
# name: who holds a key; several keys of one name count as one signer.
# kinds: what a key may sign, such as [approval]; a key without them may sign everything.
"""


class _Key(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kinds: list[str] | None = None
    public: str

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: list[str] | None) -> list[str] | None:
        for kind in kinds or ():
            check_kind(kind)
        return kinds

    @model_validator(mode="after")
    def _usable(self) -> _Key:
        self.trusted()
        return self

    def trusted(self) -> TrustedKey:
        return TrustedKey(self.name, self.public, frozenset(self.kinds) if self.kinds is not None else None)


class _TrustFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: list[_Key] = []

    @model_validator(mode="after")
    def _distinct(self) -> _TrustFile:
        self.trust()
        return self

    def trust(self) -> Trust:
        return Trust(tuple(key.trusted() for key in self.keys))


def check_kind(kind: str) -> str:
    """The kind of evidence itself, or ValueError when there is none such."""
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of evidence; {did_you_mean(kind, KINDS)}")
    return kind


def read_trust(path: Path) -> Trust:
    """The keys in the file, none when there is no file; UsageError that names what is wrong in it."""
    if not path.exists():
        return Trust()
    try:
        return _TrustFile.model_validate(read_yaml(path)).trust()
    except ValidationError as problem:
        raise explain(problem, _TrustFile, str(path)) from None


def write_trust(path: Path, trust: Trust, header: str = _HEADER) -> None:
    """Replace the file, comments first; raises InfrastructureError."""
    keys = [
        {"name": key.name, **({} if key.kinds is None else {"kinds": sorted(key.kinds)}), "public": key.pem}
        for key in trust.keys
    ]
    text = yaml.dump({"keys": keys}, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    write_file(path, f"{header}{text}".encode())


class _Dumper(yaml.SafeDumper):
    """Writes keys as the blocks of lines that they are everywhere else."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
