"""The quickstart, step by step: v1 becomes stable, v2 is promoted by its canary, v3 is rejected by the gate.

Every part is real - engines, hub client, gates, Envoy - and small. v3 is what a careless vendor might hand
over: v1's quantized weights with noise in their scales. It loads and answers fluently, and knows less.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.quickstart.hub import HubServer
from examples.quickstart.noise import add_noise
from flows.opening import open_workplace
from flows.promote import promote
from flows.release import release
from flows.spec import ReleaseSpec, load_spec
from registry.digest import Digest
from registry.errors import GateFailed, HeadgateError
from registry.manifest import Manifest
from registry.publish import get_version
from tasks.engine_run import engine_digest, run_engine
from tasks.process import background_process
from tasks.publish import load_manifest
from tasks.workplace import Workplace

HERE = Path(__file__).resolve().parent
SPEC = HERE.parent / "quickstart.yaml"
NOISY = "headgate/tiny-facts-noisy"
_TRAIN = {"steps": 300, "seed": 0}
_NOISE = {"strength": 0.3, "seed": 0}
_RATE = 20  # requests per second, well below what two cores serve


def walk(model: str | None = None) -> dict[str, Any]:
    """Run the quickstart and say what came of it; ``model`` (ORG/NAME) takes the real hub's instead of its own.

    Raises HeadgateError when a step that should pass does not, or the one that should not does.
    """
    seconds: dict[str, float] = {}
    spec = _spec(model)
    with open_workplace() as place, _hub(place, None if model else _train(place, seconds)):
        first = _released(spec, "v1", seconds)
        second = _released(_second(spec), "v2", seconds)
        with _clock(seconds, "v2.rollout"), _traffic(place, spec):
            rollout = promote(second["version"], spec.rollout)
    with open_workplace() as place, _noisy_hub(place, first["version"]):
        rejected = _rejected(_third(spec), seconds)
    return {
        "versions": [first["version"], second["version"]],
        "rejected": [rejected],
        "stages": {name: round(value, 2) for name, value in seconds.items()},
        "rollout": rollout,
        "gateway": f"http://127.0.0.1:{spec.rollout.port}/v1",
        "ok": True,
    }
