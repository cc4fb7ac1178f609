"""Whether a release fits what it is judged for, from its files alone: before a server is started."""

from __future__ import annotations

from eval_suites.load_memory import GPU_MEMORY, judge_memory
from eval_suites.load_spec import LoadSpec
from judging.verdict import Verdict
from registry.manifest import Manifest
from registry.version import ServeConfig
from tasks.machine import this_machine
from tasks.model_facts import model_of
from tasks.workplace import Workplace

_GIBIBYTE = 1 << 30


def check_memory(
    place: Workplace, weights: Manifest, serve: ServeConfig, gpu_class: str, load: LoadSpec
) -> Verdict:
    """The load gate's first findings. Raises Refused for files that cannot be read."""
    model = model_of(place.blobs, weights)
    return Verdict.of(judge_memory(load, serve, model.config, model.size, memory_of(load, gpu_class)))


def memory_of(load: LoadSpec, gpu_class: str) -> int | None:
    """Bytes of one accelerator of this class, or of this machine for processors; None where nobody knows."""
    kind = gpu_class.partition("-")[0]
    if load.gpu_memory_gib:
        return int(load.gpu_memory_gib * _GIBIBYTE)
    return this_machine().memory if kind == "cpu" else GPU_MEMORY.get(kind)
