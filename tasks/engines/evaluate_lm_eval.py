# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["lm-eval[api]==0.4.13", "transformers==5.17.0"]
# ///
"""Asks a running server the items of a suite through lm-eval, and returns what each item scored.

Request: ``base_url`` (of /v1/completions), ``model`` (the served name), ``tokenizer_dir``, ``tasks_dir``
(lm-eval task files), ``tasks``, ``max_length`` (tokens, the server's), ``num_concurrent``,
``batch_size``, ``seed``, ``limit`` (items per task, or null). Result: versions, samples, and how many
items each task was asked for. The model runs in the server alone, so what is judged is what is served;
judging is the gate's.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import tempfile
import urllib.request
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from engine_protocol import EngineError, progress, serve_request, versions

PACKAGES = ("lm_eval", "transformers")


def evaluate(request: dict[str, Any]) -> dict[str, Any]:
    """Ask every task of the request; raises EngineError."""
    check_server(request["base_url"])
    progress(0.0, "loading the evaluator")
    with tempfile.TemporaryDirectory(prefix="lm-eval-") as scratch:
        isolate(scratch)
        results = ask(request)
    requested = {name: counts["effective"] for name, counts in results["n-samples"].items()}
    samples = [
        sample_of(name, sample) for name in request["tasks"] for sample in results["samples"][name]
    ]
    return {"versions": versions(PACKAGES), "samples": samples, "requested": requested}


def check_server(base_url: str) -> None:
    """Ask for the model list first: lm-eval would retry a dead server for minutes; raises EngineError (infra)."""
    url = base_url.removesuffix("/completions") + "/models"
    # A proxy of the environment is for the internet, not for the server beside us.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=30).close()
    except OSError as error:
        raise EngineError(
            "infra",
            f"No model server answers at {url}",
            why=str(getattr(error, "reason", error)),
            next_step="read the server's log in the run folder",
        ) from error


def isolate(scratch: str) -> None:
    """Keep lm-eval off the network, off the user's caches, and from sending a key it finds lying about."""
    os.environ.update(
        HF_HOME=scratch,
        HF_HUB_OFFLINE="1",
        HF_DATASETS_OFFLINE="1",
        HF_EVALUATE_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        TOKENIZERS_PARALLELISM="false",
        DISABLE_MULTIPROC="1",
    )
    for name in ("OPENAI_API_KEY", "HF_DATASETS_CACHE", "HF_HUB_CACHE"):
        os.environ.pop(name, None)


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """lm-eval's result with its samples; raises EngineError (config) for a task that does not load."""
    import lm_eval
    from lm_eval.models import api_models
    from lm_eval.tasks import TaskManager

    api_models.tqdm_asyncio = _Progress
    logging.getLogger("lm_eval").setLevel(logging.WARNING)
    manager = TaskManager(include_path=request["tasks_dir"], include_defaults=False)
    unknown = sorted(set(request["tasks"]) - set(manager.all_tasks))
    if unknown:
        raise EngineError(
            "config",
            f"The suite has no task {', '.join(unknown)}",
            why=f"{Path(request['tasks_dir']).name} defines {', '.join(sorted(manager.all_tasks)) or 'none'}",
            next_step="check the names of the suite's tasks",
        )
    seed = request["seed"]
    return lm_eval.simple_evaluate(
        model="local-completions",
        model_args=model_arguments(request),
        tasks=list(request["tasks"]),
        task_manager=manager,
        batch_size=request["batch_size"],
        limit=request["limit"],
        bootstrap_iters=0,  # no standard errors: the gate pairs items itself
        log_samples=True,
        random_seed=seed,
        numpy_random_seed=seed,
        torch_random_seed=seed,
        fewshot_random_seed=seed,
    )


def model_arguments(request: dict[str, Any]) -> dict[str, Any]:
    """What lm-eval's completions client is told about the server."""
    return {
        "model": request["model"],
        "base_url": request["base_url"],
        "tokenizer": request["tokenizer_dir"],
        "tokenizer_backend": "huggingface",
        "tokenized_requests": True,
        # Below two, lm-eval takes another path: one request at a time, through the environment's proxies.
        "num_concurrent": max(2, request["num_concurrent"]),
        "max_length": request["max_length"],
        "max_retries": 3,
        "timeout": 600,
    }


def sample_of(task: str, sample: dict[str, Any]) -> dict[str, Any]:
    """One item as the gate pairs it; a value that is no finite number becomes null, for the gate to see."""
    value = float(sample[sample["metrics"][0]])
    return {
        "task": task,
        "doc_id": sample["doc_id"],
        "doc_hash": sample["doc_hash"],
        "prompt_hash": sample["prompt_hash"],
        "value": value if math.isfinite(value) else None,
    }


class _Progress:
    """In place of lm-eval's bar: one progress line whenever another twentieth of the requests is answered."""

    @staticmethod
    async def gather(*tasks: Awaitable[Any], desc: str) -> list[Any]:
        """The tasks' results in their order, as ``asyncio.gather`` gives them."""
        done, shown = 0, 0

        async def counted(task: Awaitable[Any]) -> Any:
            nonlocal done, shown
            result = await task
            done += 1
            if 20 * done // len(tasks) > shown:
                shown = 20 * done // len(tasks)
                progress(0.1 + 0.9 * done / len(tasks), f"{desc}: {done} of {len(tasks)} batches")
            return result

        return await asyncio.gather(*(counted(task) for task in tasks))


if __name__ == "__main__":
    serve_request(evaluate)
