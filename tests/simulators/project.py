"""A user's project in a folder: a home, a suite, a spec, and models on a simulated hub.

The engines are the simulated ones beside this file (no torch, no vLLM); everything else is real: Prefect,
the registry, Envoy, the supervisor, Trivy.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import main
from fleet.local_fleet import LocalFleet
from registry.dir_store import DirStore
from registry.home import Home
from tests.simulators.hub import HubSimulator
from tests.simulators.weights import safetensors

ROOT = Path(__file__).resolve().parents[2]
ENGINES = Path(__file__).resolve().parent / "engines"
_COMMAND = """
import os
import signal
import sys
os.fsync = lambda _descriptor: None  # as in tests/conftest.py
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
import tasks.engine_environment
from pathlib import Path
tasks.engine_environment.ENGINES = Path(sys.argv[1])
from cli.main import run
del sys.argv[1]
run()
"""
_ITEMS = 240


def model_files(**simulate: Any) -> dict[str, bytes]:
    """A repository; ``simulate`` steers the engines (accuracy, lost, quantize_seconds, serve, ...)."""
    half = struct.pack("<e", 0.5)
    tensors = {
        "model.embed_tokens.weight": ("F16", (8, 128), half * 8 * 128),
        "model.layers.0.mlp.down_proj.weight": ("F16", (64, 128), half * 64 * 128),
    }
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "simulate": simulate}
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": safetensors(tensors),
    }


@dataclass(frozen=True)
class Project:
    """The folder, the hub, the gateway's port, the Prefect server its commands talk to, and the engines.

    ``apart``: each command is a process of its own, which takes three seconds of imports.
    """

    folder: Path
    hub: HubSimulator
    port: int
    api_url: str
    engines: Path = ENGINES
    apart: bool = True

    @property
    def home(self) -> Home:
        """Its HEADGATE_HOME."""
        return Home(self.folder / "home")

    @property
    def store(self) -> DirStore:
        """Its registry."""
        return DirStore(self.home.store)

    def push(self, **simulate: Any) -> str:
        """Put a model on the hub's main branch."""
        return self.hub.push("acme/tiny", model_files(**simulate))

    def push_with(self, files: dict[str, bytes]) -> str:
        """Put a model with these files too on the hub's main branch."""
        return self.hub.push("acme/tiny", {**model_files(), **files})

    def other_engines(self) -> Path:
        """A copy of the engines' folder, to be changed."""
        return Path(shutil.copytree(ENGINES, self.folder / "engines"))

    def with_engines(self, engines: Path) -> Project:
        """The same project, run with these engines."""
        return replace(self, engines=engines)

    def together(self) -> Project:
        """The same project, its commands run in this process: for what no second process has to see."""
        return replace(self, apart=False)

    def values(self, **sections: dict[str, Any]) -> dict[str, Any]:
        """A spec's values, sections updated."""
        spec: dict[str, Any] = {
            "spec_version": 1,
            "model": {"uri": "hf://acme/tiny"},
            "quantize": {"engine": "autoawq", "calibration": str(self.folder / "calibration.jsonl")},
            "evaluate": {"suite": str(self.folder / "suite.yaml"), "fidelity": None},
            "scan": {"waiver": {"owner": "tests", "reason": "there is no database here", "valid_for": "1d"}},
            "registry": {"name": "tiny"},
            "rollout": {
                "fleet": "test",
                "port": self.port,
                "weights": [20, 50, 100],
                "observe_seconds": 0.2,
                "step_seconds": 0.2,
                "min_requests": 10,
                "bake_seconds": 0.2,
                "step_timeout_seconds": 60,
                "prepare_timeout_seconds": 30,
                "max_error_rate": 0.1,
                "max_ttft_ratio": 3.0,
            },
        }
        for name, values in sections.items():
            spec[name] = {**spec.get(name, {}), **values}
        return spec

    def write_spec(self, **sections: dict[str, Any]) -> Path:
        """The spec as a file."""
        path = self.folder / "spec.yaml"
        path.write_text(yaml.safe_dump(self.values(**sections)))
        return path

    def environment(self) -> dict[str, str]:
        """What a command of this project runs with."""
        # Commands are started often: bytecode of the second one is the first one's.
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {
            **inherited,
            "HEADGATE_HOME": str(self.home.root),
            "HF_ENDPOINT": self.hub.endpoint,
            "PREFECT_API_URL": self.api_url,  # empty: commands start a server of their own
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``headgate ARGUMENTS``."""
        return subprocess.Popen(
            [sys.executable, "-c", _COMMAND, str(self.engines), *arguments],
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def command(self, *arguments: str, timeout: float = 120) -> tuple[int, str, str]:
        """Run ``headgate ARGUMENTS``: exit code, standard output, standard error."""
        if not self.apart:
            return self._command_here(*arguments)
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, out, err

    def _command_here(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in self.environment().items():
                patch.setenv(name, value)
            for module in ("tasks.engine_environment", "tasks.engine_run"):
                patch.setattr(f"{module}.ENGINES", self.engines)
            patch.chdir(self.folder)
            code = main([*arguments])
        return code, out.getvalue(), err.getvalue()

    def observed(self) -> dict[str, Any]:
        """The fleet as ``headgate status`` shows it."""
        code, out, err = self.together().command("status", "--fleet", "test", "--json")
        assert code == 0, err
        observed: dict[str, Any] = json.loads(out.splitlines()[-1])["observed"]
        return observed

    def weight(self) -> int | None:
        """The share of requests that the canary of the last rollout gets."""
        data = self.store.get("rollouts/test.json")
        return json.loads(data)["weight"] if data else None

    def processes(self) -> list[int]:
        """The processes that carry this home's mark, the commands of this test aside."""
        mark = f"HEADGATE_HOME={self.home.root}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in environment and any(e.startswith(b"HEADGATE_RUN_ID=") for e in environment):
                found.append(int(entry.name))
        return found


@contextmanager
def project(folder: Path, port: int, api_url: str) -> Iterator[Project]:
    """A project in the folder, its fleet taken down afterwards."""
    rows = [json.dumps({"q": f"item {n}", "a": str(n)}) for n in range(_ITEMS)]
    (folder / "items.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "calibration.jsonl").write_text('{"text": "something to read"}\n' * 128)
    task = {"name": "items", "dataset": "items.jsonl", "kind": "generate", "prompt": "{{q}}", "answer": "a"}
    task |= {"metric": "exact_match", "chance": 0.0, "margin": 0.05}
    suite = {"name": "tests", "description": "Numbers.", "tasks": [task]}
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    with HubSimulator() as hub:
        made = Project(folder, hub, port, api_url)
        try:
            yield made
        finally:
            LocalFleet(made.home, "test").down()


def released(place: Project, *arguments: str, **sections: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a release that has to succeed."""
    code, out, err = place.command("release", str(place.write_spec(**sections)), "--json", *arguments)
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


def failed(place: Project, **sections: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Exit code and error of a release that has to fail."""
    code, out, err = place.command("release", str(place.write_spec(**sections)), "--json")
    assert "Traceback" not in err
    result = json.loads(out.splitlines()[-1])
    assert result["ok"] is False
    return code, result["error"]


def asked(place: Project) -> list[tuple[str, int, int]]:
    """Per evaluation of the newest run: the model, how many looks it was to be asked, and how many it was."""
    newest = max(place.home.runs.iterdir())
    found = []
    for path in sorted(newest.glob("evaluate_lm_eval-*/request.json"), key=lambda p: p.stat().st_mtime):
        request: dict[str, Any] = json.loads(path.read_text())
        looks = list(Path(request["looks_dir"]).glob("*.json"))
        found.append((request["model"], len(request["looks"]), len(looks)))
    return found


def until(condition: Callable[[], object], seconds: float = 180) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@contextmanager
def traffic(port: int, per_second: float = 60.0) -> Iterator[None]:
    """Streaming requests to a gateway from a few threads for the length of the block."""
    stop = threading.Event()

    def ask() -> None:
        body = json.dumps({"model": "tiny", "prompt": "Hi", "max_tokens": 3, "stream": True}).encode()
        url = f"http://127.0.0.1:{port}/v1/completions"
        while not stop.is_set():
            try:
                request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
                urllib.request.urlopen(request, timeout=5).read()
            except OSError:
                pass  # a user meets errors; the judge counts them
            time.sleep(4 / per_second)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
