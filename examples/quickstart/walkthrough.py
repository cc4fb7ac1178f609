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
from flows.promote import promote_if_new, target_of
from flows.release import release
from flows.spec import Quantize, QuantizeEngine, ReleaseSpec, load_spec
from registry.digest import Digest
from registry.errors import GateFailed, HeadgateError
from registry.manifest import Manifest
from registry.manifests import load_manifest
from registry.publish import get_version
from tasks.engine_run import engine_digest, run_engine
from tasks.process import background_process
from tasks.runtime import check_libnuma
from tasks.workplace import Workplace, open_workplace

HERE = Path(__file__).resolve().parent
SPEC = HERE.parent / "quickstart.yaml"
TINY = "headgate/tiny-facts"
NOISY = "headgate/tiny-facts-noisy"
_TRAIN = {"steps": 300, "seed": 0}
_NOISE = 1.0  # relative; 0.6 does no harm to 640 facts, 1.0 loses a third of them
_RATE = 20  # requests per second, well below what two cores serve
_TRAFFIC_LIMIT = 900  # seconds; the client stops by itself
_TRAIN_TIMEOUT = 1800.0  # seconds


def walk(model: str | None = None, port: int | None = None) -> dict[str, Any]:
    """Run the quickstart and say what came of it; ``model`` (ORG/NAME) takes one of the real hub instead.

    ``port`` is the gateway's, if not the spec's.
    Raises HeadgateError when a step that should pass does not, or the one that should not does.
    """
    spec = _spec(model, port)
    with open_workplace() as place:
        check_libnuma()
        target_of(place, spec.registry.name, spec.rollout)  # a fleet or port it cannot have
        repos = {} if model else {TINY: trained(place)}
        seconds = dict(place.seconds)
        # Two servers, the gateway and the users share this machine: a thread each, and none starves another.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with _hub(repos):
            first = _shipped(place, spec, "v1", seconds)
            second = _shipped(place, _gentler(spec), "v2", seconds)
        with _hub({NOISY: _noisy(place, first["version"])}), _clock(seconds, "v3"):
            rejected = _rejected(_vendored(spec))
        reports = place.home.runs
    return {
        "versions": [first["version"], second["version"]],
        "rejected": [rejected],
        "stages": {name: round(value, 2) for name, value in seconds.items()},
        "rollout": second["rollout"],
        "verdicts": {label: r["verdicts"] for label, r in (("v1", first), ("v2", second))},
        "scan": second["scan"],
        "digests": second["digests"],
        "fleet": spec.rollout.fleet,
        "reports": str(reports),
        "gateway": f"http://127.0.0.1:{spec.rollout.port}/v1",
        "ok": True,
    }


def trained(place: Workplace) -> Path:
    """A folder with the quickstart's own model, trained once."""
    facts = HERE / "facts.jsonl"
    inputs = {"facts": Digest.of_file(facts), "engine": engine_digest("train_quickstart"), **_TRAIN}
    with place.stage("train", "a tiny Llama learns facts"):
        result = place.staged("train", inputs, lambda: _train(place, facts))
    return place.unpacked(Manifest.from_json(result["manifest"]))


def _spec(model: str | None, port: int | None) -> ReleaseSpec:
    """The shipped spec; for a real model with its name, a suite it can answer, and room for its prompts."""
    spec = load_spec(SPEC)
    if port is not None:
        spec = spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"port": port})})
    if model is None:
        return spec
    name = model.rpartition("/")[2].lower()
    return spec.model_copy(
        update={
            "model": spec.model.model_copy(update={"uri": f"hf://{model}"}),
            "quantize": spec.quantize.model_copy(update={"engine": QuantizeEngine.AUTO}),
            "serve": spec.serve.model_copy(update={"max_model_len": 512}),
            "evaluate": spec.evaluate.model_copy(update={"suite": "smoke"}),
            # Another model is never a canary of the first.
            "rollout": spec.rollout.model_copy(update={"fleet": f"quickstart-{name}"}),
            "registry": spec.registry.model_copy(update={"name": name}),
        }
    )


def _gentler(spec: ReleaseSpec) -> ReleaseSpec:
    """v2: the same source by another recipe."""
    return spec.model_copy(update={"quantize": spec.quantize.model_copy(update={"group_size": 64})})


def _vendored(spec: ReleaseSpec) -> ReleaseSpec:
    """v3: weights that come quantized, so the gate has only what is live to compare them with."""
    return spec.model_copy(
        update={
            "model": spec.model.model_copy(update={"uri": f"hf://{NOISY}", "revision": "main"}),
            "quantize": Quantize(engine=QuantizeEngine.NONE),
        }
    )


def _shipped(place: Workplace, spec: ReleaseSpec, label: str, seconds: dict[str, float]) -> dict[str, Any]:
    """Release, then promote while there are users to judge the canary on."""
    with _clock(seconds, label):
        result: dict[str, Any] = release(spec)
    seconds.update({f"{label}.{stage}": value for stage, value in result["stages"].items()})
    version = get_version(place.store, result["version"])
    with _clock(seconds, f"{label}.rollout"), _users(place, spec):
        result["rollout"] = promote_if_new(version, spec.rollout)
    return result


def _rejected(spec: ReleaseSpec) -> dict[str, str]:
    """What the gate said to v3; letting it pass is an error of ours."""
    try:
        release(spec)
    except GateFailed as refusal:
        return {"name": "v3", "uri": spec.model.uri, "reason": refusal.why, **refusal.files}
    raise HeadgateError(
        "the quality gate let v3 pass, whose weights were damaged on purpose",
        next_step="report this: the gate, or the noise, does not do what it should",
    )


def _train(place: Workplace, facts: Path) -> dict[str, Any]:
    output = place.run.directory / "trained"
    request = {"facts_file": str(facts), "output_dir": str(output), **_TRAIN}
    result = run_engine("train_quickstart", request, place.run, timeout=_TRAIN_TIMEOUT, stage="train")
    manifest = place.blobs.add_tree(output)
    shutil.rmtree(output)
    return {"manifest": manifest.to_json(), "accuracy": result["accuracy"]}


def _noisy(place: Workplace, version: str) -> Path:
    """A folder with the weights of a version, noise added to their scales."""
    weights = load_manifest(place.store, get_version(place.store, version).weights_manifest)
    output = place.run.directory / "noisy"
    add_noise(place.unpacked(weights), output, strength=_NOISE)
    return output


@contextmanager
def _hub(repos: dict[str, Path]) -> Iterator[None]:
    """A loopback hub with these repositories, as the hub of this process; without any, the user's own hub."""
    if not repos:
        yield
        return
    before = os.environ.get("HF_ENDPOINT")
    with HubServer(repos) as hub:
        os.environ["HF_ENDPOINT"] = hub.endpoint
        try:
            yield
        finally:
            os.environ.pop("HF_ENDPOINT")
            if before is not None:
                os.environ["HF_ENDPOINT"] = before


@contextmanager
def _users(place: Workplace, spec: ReleaseSpec) -> Iterator[None]:
    """Open-loop traffic on the gateway for the length of the block."""
    argv = [
        *(sys.executable, str(HERE / "client.py")),
        *("--url", f"http://127.0.0.1:{spec.rollout.port}", "--model", spec.registry.name),
        *("--rate", str(_RATE), "--seconds", str(_TRAFFIC_LIMIT)),
    ]
    with background_process(argv, log_file=place.run.log_file("users")):
        yield


@contextmanager
def _clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[name] = time.monotonic() - started
