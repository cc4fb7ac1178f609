"""Plausible records for tests: a draft of a version, with what a test does not care about filled in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from registry.digest import Digest
from registry.version import ServeConfig, VersionDraft

SERVE = ServeConfig(
    dtype="float16",
    max_model_len=256,
    tensor_parallel_size=1,
    gpu_memory_utilization=0.9,
    max_num_seqs=8,
    chat_template="{{ messages }}",
    extra_args=("--enforce-eager",),
)


def digest(text: str) -> Digest:
    """A digest that stands for whatever the text names."""
    return Digest.of_bytes(text.encode())


def draft(name: str = "tiny", **changes: Any) -> VersionDraft:
    """A draft; the same arguments give the same content."""
    plain = VersionDraft(
        name=name,
        source_uri="hf://acme/tiny",
        source_commit="a" * 40,
        source_manifest=digest("source manifest"),
        source_set=digest("source"),
        weights_manifest=digest("weights manifest"),
        weights_set=digest("weights"),
        recipe={"scheme": "awq", "bits": 4, "group_size": 128},
        engine={"autoawq": "0.2.9"},
        runtime=digest("runtime"),
        serve=SERVE,
        image=digest("image"),
        gpu_class="cpu",
    )
    return replace(plain, **changes)
