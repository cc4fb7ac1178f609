"""The release's parameters: what one spec file may say. The same model is the form in Prefect's UI.

Flat sections and enums, because that is what the form shows well; names of secrets, never secrets.
A section appears with the stage that honours it. ``examples/quickstart.yaml`` documents every key.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from eval_suites.load_spec import LoadSpec
from eval_suites.suite_code import CodeDigest
from eval_suites.suite_spec import Profile
from flows.spec_gates import Compare, Fidelity, Scan, Section
from registry.validation import explain, read_yaml
from tasks.source_address import ADDRESS, FORMS, anchored, scheme_of

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=64)]


SectionT = TypeVar("SectionT", bound=Section)


def _address(uri: str) -> str:
    if not scheme_of(uri):
        near = f"; did you mean 'hf://{uri}'?" if re.fullmatch(r"[\w.-]+/[\w.-]+", uri) else ""
        raise ValueError(f"must be {FORMS}, not {uri!r}{near}")
    return uri


def _pattern(layer: str) -> str:
    try:
        re.compile(layer.removeprefix("re:"))
    except re.error as problem:
        if layer.startswith("re:"):
            raise ValueError(f"{layer!r} is no pattern: {problem}") from problem
    return layer


Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "pattern": ADDRESS})]
Ignored = Annotated[str, AfterValidator(_pattern)]


class Model(Section):
    """Where the weights come from."""

    uri: Address = Field(
        description="hf://ORG/NAME on the hub that HF_ENDPOINT names, s3://BUCKET/PREFIX, "
        "oci://REGISTRY/NAME:TAG (or @sha256:...), or a folder: /FOLDER, or ./FOLDER counted from the spec's",
        examples=["hf://mistralai/Mistral-7B-Instruct-v0.3"],
    )
    revision: str = Field(
        "main", description="branch, tag or commit of a hub; elsewhere empty, or the sha256:... it must be at"
    )
    token_secret: str | None = Field(
        None, description="name of the Prefect Secret that opens a gated model; empty takes HF_TOKEN"
    )
    licences: tuple[str, ...] = Field(
        (), description="licences that may be used, as model cards name them: apache-2.0; empty allows any"
    )


class QuantizeEngine(StrEnum):
    """Which program writes the quantized weights."""

    AUTO = "auto"
    LLM_COMPRESSOR = "llm-compressor"
    AUTOAWQ = "autoawq"
    NONE = "none"


class Method(StrEnum):
    """How weights become small: what is searched, and in which format they are kept."""

    AWQ = "awq"
    GPTQ = "gptq"
    W8A8 = "w8a8"


Bits = Literal[4, 8]
GroupSize = Literal[32, 64, 128]
Samples = Annotated[int, Field(ge=1, le=4096)]
SequenceLength = Annotated[int, Field(ge=8, le=8192)]


class Fallback(Section):
    """Another recipe, tried when a gate rejects those before it: what differs from the first one."""

    engine: QuantizeEngine | None = Field(None, description="empty: as in the first recipe")
    method: Method | None = Field(None, description="empty: as in the first recipe")
    bits: Bits | None = Field(None, description="empty: what the method writes")
    group_size: GroupSize | None = Field(None, description="empty: as in the first recipe")
    zero_point: bool | None = Field(None, description="empty: as in the first recipe")
    ignore: tuple[Ignored, ...] | None = Field(None, description="empty: as in the first recipe")
    samples: Samples | None = Field(None, description="empty: as in the first recipe")
    sequence_length: SequenceLength | None = Field(None, description="empty: as in the first recipe")


class Quantize(Section):
    """How the weights are quantized; ``none`` takes them as they are."""

    engine: QuantizeEngine = Field(
        QuantizeEngine.AUTO,
        description="auto: llm-compressor where it knows the architecture, else autoawq; none: as they are",
    )
    method: Method = Field(
        Method.AWQ, description="awq or gptq: 4-bit weights; w8a8: 8-bit weights and activations"
    )
    bits: Bits | None = Field(None, description="bits per weight; empty: 4, and 8 for w8a8")
    group_size: GroupSize = Field(128, description="input channels that share one scale; not in w8a8")
    zero_point: bool = Field(True, description="each group has a zero point too; not in w8a8")
    ignore: tuple[Ignored, ...] = Field(
        (), description="layers that stay as they are, by name or re:PATTERN; the head always does"
    )
    calibration: str | None = Field(
        None,
        description='JSONL file of {"text": ...} lines, never eval items; '
        "a path, or hf://datasets/ORG/NAME@COMMIT/FILE",
    )
    samples: Samples = Field(128, description="calibration texts used")
    sequence_length: SequenceLength = Field(512, description="tokens per calibration text")
    seed: int = Field(0, ge=0, lt=2**31, description="the same seed gives the same weights")
    fallbacks: tuple[Fallback, ...] = Field(
        (), description="recipes to try in this order when a gate rejects the first"
    )

    @model_validator(mode="after")
    def _calibrated(self) -> Quantize:
        if self.engine is not QuantizeEngine.NONE and not self.calibration:
            raise ValueError(
                "calibration: quantizing needs calibration texts; name a JSONL file of {'text': ...} lines"
            )
        if self.engine is QuantizeEngine.NONE and self.fallbacks:
            raise ValueError("fallbacks: there is nothing to fall back from, as engine is none")
        return self


class Dtype(StrEnum):
    """The serving precision of activations."""

    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class Serve(Section):
    """The serve configuration: digested into the release's identity, so a change is a new release."""

    dtype: Dtype = Field(Dtype.FLOAT16, description="precision of activations")
    max_model_len: int = Field(2048, ge=16, description="tokens, prompt and completion together")
    tensor_parallel_size: int = Field(1, ge=1, le=64, description="accelerators that share one model")
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1, description="share of the device's memory")
    max_num_seqs: int = Field(64, ge=1, description="requests in one batch")
    chat_template: str | None = Field(None, description="Jinja file; empty takes the model's own")
    extra_args: tuple[str, ...] = Field((), description="further vLLM flags, as on its command line")
    gpu_class: Name = Field("cpu", description="the accelerator this release is judged for")


class Evaluate(Section):
    """The gates that ask the served model."""

    suite: str = Field("smoke", description="name under eval_suites/, or the path of a suite file")
    profile: Profile = Field(Profile.STANDARD, description="strict: half the margins, alpha at most 0.025")
    allow_code: tuple[CodeDigest, ...] = Field((), description="suites that may run code of lm-eval")
    reviews: str | None = Field(
        None, description="JSONL file of what people said of answers, for suites that ask them"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="the same seed asks the same way")
    fidelity: Fidelity | None = Field(
        Fidelity(), description="before the suite: quantized weights against their source, token by token"
    )
    compare: Compare = Field((), description="APIs to ask the same, once it passed; shown beside it")


class Runtime(StrEnum):
    """What serves the weights."""

    VLLM_CPU = "vllm-cpu"


class Image(Section):
    """What the release is packed into."""

    runtime: Runtime = Field(Runtime.VLLM_CPU, description="what serves the weights")
    repository: Name | None = Field(None, description="name in the image registry; empty takes registry.name")


class Registry(Section):
    """Where the version is recorded."""

    name: Name = Field(description="the model's name in the registry; versions are NAME/1, NAME/2, ...")


class Rollout(Section):
    """Progressive delivery to the local fleet."""

    auto: bool = Field(
        False, description="release promotes at once when its gates passed; no matter to promote"
    )
    fleet: Name | None = Field(
        None,
        description="which fleet of this machine takes it; empty: the one that serves the model, or `local`",
    )
    port: int | None = Field(
        None, ge=1, le=65535, description="loopback port of the gateway; empty: the fleet's own, or 8000"
    )
    weights: tuple[int, ...] = Field((5, 25, 50, 100), description="per cent of requests, step by step")
    observe_seconds: float = Field(5, gt=0, description="between two looks of the judge")
    step_seconds: float = Field(60, ge=0, description="least time on each step")
    min_requests: int = Field(300, ge=1, description="least canary requests on each step")
    bake_seconds: float = Field(300, ge=0, description="time at 100 % before promotion")
    step_timeout_seconds: float = Field(3600, gt=0, description="a step undecided for so long is paused")
    prepare_timeout_seconds: float = Field(600, gt=0, description="until the canary answers a completion")
    max_error_rate: float = Field(0.02, gt=0, lt=1, description="ceiling for the canary's error rate")
    max_ttft_ratio: float = Field(1.25, gt=1, description="ceiling for canary / stable time to first token")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="error rate of the canary judge, over all looks")


class Gates(Section):
    """What judges a candidate, and by which limits."""

    evaluate: Evaluate = Evaluate()
    load: LoadSpec | None = None
    scan: Scan = Scan()


class ReleaseSpec(Section):
    """One release: from a hub to a version with evidence, and on to the fleet when ``rollout.auto``."""

    spec_version: Literal[1] = Field(1, description="version of the spec's format")
    model: Model
    quantize: Quantize
    serve: Serve = Serve()
    evaluate: Evaluate = Evaluate()
    load: LoadSpec | None = None
    image: Image = Image()
    scan: Scan = Scan()
    registry: Registry
    rollout: Rollout = Rollout()

    @property
    def gates(self) -> Gates:
        """The sections of it that judge."""
        return Gates(evaluate=self.evaluate, load=self.load, scan=self.scan)


def load_spec(path: Path) -> ReleaseSpec:
    """Read a spec file; relative paths in it count from its folder. Raises UsageError."""
    return anchor(parse_spec(read_yaml(path), where=str(path)), path.parent)


def parse_spec(value: object, *, where: str) -> ReleaseSpec:
    """Validate a mapping; every problem is named by its full path. Raises UsageError."""
    try:
        return ReleaseSpec.model_validate(value)
    except ValidationError as error:
        raise explain(error, ReleaseSpec, where) from error


def anchor(spec: ReleaseSpec, folder: Path) -> ReleaseSpec:
    """The spec with its file names made absolute from the folder; suite names stay names."""
    return spec.model_copy(
        update={
            "model": spec.model.model_copy(update={"uri": anchored(spec.model.uri, folder)}),
            "quantize": spec.quantize
            if (spec.quantize.calibration or "").startswith("hf://")
            else _anchored(spec.quantize, "calibration", folder),
            "serve": _anchored(spec.serve, "chat_template", folder),
            "evaluate": _anchored_evaluate(_anchored(spec.evaluate, "reviews", folder), folder),
        }
    )


def _anchored_evaluate(section: Evaluate, folder: Path) -> Evaluate:
    is_path = "/" in section.suite or section.suite.endswith((".yaml", ".yml"))
    return _anchored(section, "suite", folder) if is_path else section


def _anchored(section: SectionT, key: str, folder: Path) -> SectionT:
    value = getattr(section, key)
    # Unlike Path.resolve, it takes links that lead in a circle: whoever reads the file says so.
    return section.model_copy(update={key: os.path.realpath(folder / value)}) if value else section
