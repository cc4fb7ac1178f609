"""What a version is: the record of one release, made of digests only. No clock, no run id, no evidence. Pure.

The same weights, runtime and serve configuration give the same record on every machine, so publishing
again is a no-op, and whatever judged a release hangs on its release digest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from registry.digest import Digest
from registry.errors import UsageError

FORMAT = 2
"""What is written now; format 1, still read and written back as it was, has no ``source_set``."""

LAST_NUMBER = 999_999
"""The highest number that a reference can name; keys of six digits sort by it."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


def is_name(text: str) -> bool:
    """Whether a model or a GPU class can have this name."""
    return bool(_NAME.fullmatch(text))


def check_name(name: str) -> str:
    """The name itself, or ValueError when no model or GPU class can have it."""
    if not is_name(name):
        raise ValueError(f"not a name (lower-case letters, digits, '.', '_', '-'): {name!r}")
    return name


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How the weights are served; part of a release's identity. ``chat_template`` is its text, not a path."""

    dtype: str
    max_model_len: int
    tensor_parallel_size: int
    gpu_memory_utilization: float
    max_num_seqs: int
    chat_template: str | None = None
    extra_args: tuple[str, ...] = ()

    @property
    def digest(self) -> Digest:
        """The digest of every setting."""
        return Digest.of_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        return {**asdict(self), "extra_args": list(self.extra_args)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ServeConfig:
        """Read a mapping written by ``to_json``; raises KeyError or TypeError on anything else."""
        return cls(**{**value, "extra_args": tuple(value["extra_args"])})


@dataclass(frozen=True, kw_only=True)
class VersionDraft:
    """Everything about a version but its number, which publishing gives it.

    ``source_manifest`` and ``weights_manifest`` are digests of the manifests' JSON, kept in the store;
    ``source_set`` and ``weights_set`` are the set digests of what they list; a record of format 1 has no
    ``source_set``. ``engine`` maps the packages that made the weights to their versions. ``image`` is the
    OCI manifest. ``parent`` is the reference of the version that was in production when this one was made.
    """

    name: str
    source_uri: str
    source_commit: str
    source_manifest: Digest
    source_set: Digest | None = None
    weights_manifest: Digest
    weights_set: Digest
    recipe: Mapping[str, Any]
    engine: Mapping[str, str]
    runtime: Digest
    serve: ServeConfig
    image: Digest
    gpu_class: str
    parent: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_name(self.gpu_class)

    @property
    def short_commit(self) -> str:
        """The first twelve hex digits of the source's commit, for people."""
        return self.source_commit.removeprefix("sha256:")[:12]

    @property
    def predates_signing(self) -> bool:
        """Whether the record is from before releases were signed: of format 1."""
        return self.source_set is None

    @property
    def release_digest(self) -> Digest:
        """The digest of what is released: weights x runtime x serve configuration, for a GPU class."""
        return release_digest(self.weights_set, self.runtime, self.serve, self.gpu_class)

    @property
    def content_digest(self) -> Digest:
        """What makes two records the same version: everything but the number and the parent.

        The parent is left out because it says what was live at the time: releasing the same thing again
        after it went live has another parent, and is still the same thing. It is taken of format 1 for
        ever, since later formats only add what follows from it: a version keeps its content digest.
        """
        content = {k: v for k, v in self.to_json().items() if k not in {"number", "parent", "source_set"}}
        return Digest.of_json(content | {"format": 1})

    def numbered(self, number: int) -> ModelVersion:
        """This draft as the version of that number."""
        values = {field.name: getattr(self, field.name) for field in fields(VersionDraft)}
        return ModelVersion(**values, number=number)

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back, in the format the record came in."""
        plain = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        if self.source_set is None:
            del plain["source_set"]
            return {"format": 1} | plain
        return {"format": FORMAT} | plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a mapping written by ``to_json``; raises KeyError, TypeError or ValueError otherwise."""
        if value["format"] not in {1, FORMAT}:
            raise ValueError(f"format {value['format']!r}, this Headgate reads formats 1 to {FORMAT}")
        plain = {name: item for name, item in value.items() if name != "format"}
        digests = {name: Digest.parse(plain[name]) for name in _DIGESTS}
        source_set = None if value["format"] == 1 else Digest.parse(plain["source_set"])
        serve = ServeConfig.from_json(plain["serve"])
        return cls(**{**plain, **digests, "source_set": source_set, "serve": serve})


@dataclass(frozen=True, kw_only=True)
class ModelVersion(VersionDraft):
    """An immutable, published version. ``str()`` is its reference, such as ``tiny/3``."""

    number: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.number < 1:
            raise ValueError(f"versions are numbered from 1, not {self.number}")

    def __str__(self) -> str:
        return self.reference

    @property
    def reference(self) -> str:
        """``name/number``, which ``parse_reference`` reads back."""
        return f"{self.name}/{self.number}"

    @property
    def record_digest(self) -> Digest:
        """The digest of the stored record's bytes: what the signed ``release`` speaks of."""
        return Digest.of_json(self.to_json())


def release_digest(weights_set: Digest, runtime: Digest, serve: ServeConfig, gpu_class: str) -> Digest:
    """The identity that gates, scans and signatures hang on; known before anything is published."""
    parts = {"weights": str(weights_set), "runtime": str(runtime), "serve": str(serve.digest)}
    return Digest.of_json({**parts, "gpu_class": gpu_class})


def parse_reference(reference: str) -> tuple[str, int]:
    """The name and number of a reference such as ``tiny/3``; raises ValueError."""
    name, slash, number = reference.rpartition("/")
    if not slash or not re.fullmatch(r"[1-9][0-9]{0,5}", number):
        raise ValueError(f"not a version reference (name/number): {reference!r}")
    return check_name(name), int(number)


def asked_reference(reference: str) -> tuple[str, int]:
    """The same, of what a person asks for; raises UsageError."""
    try:
        return parse_reference(reference)
    except ValueError as problem:
        raise UsageError(str(problem), next_step="write it as NAME/NUMBER, for example tiny/3") from problem


_DIGESTS = ("source_manifest", "weights_manifest", "weights_set", "runtime", "image")


def _plain(value: Any) -> Any:
    if isinstance(value, Digest):
        return str(value)
    if isinstance(value, ServeConfig):
        return value.to_json()
    return dict(value) if isinstance(value, Mapping) else value
