# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["lm-eval[api,longbench]==0.4.13", "transformers==5.17.0"]
# ///
"""Asks a running server the items of a suite through lm-eval, batch after batch, until it is told: enough.

Request: ``base_url`` (of /v1/completions), ``model`` (the served name), ``tokenizer_dir``, ``tasks_dir``
(lm-eval task files), ``named`` (lm-eval's own tasks, as ``lm_eval_tasks.build`` takes them, with ``filter`` and
``metric``), ``chat`` (names of tasks that are asked through the chat template), ``chat_template`` (its text, or
null for the tokenizer's own), ``looks`` (a list of task -> doc_ids), ``looks_dir``, ``enough`` (a path),
``max_length`` (tokens, the server's), ``num_concurrent``, ``batch_size``, ``seed``. After each look a file
with its samples is in ``looks_dir`` (of a task with the metric ``bypass`` also each answer, whole), and one
with their texts (gzip of a JSON object per line); a line ``{"look": PATH, "texts": PATH}`` says so. Once the
file ``enough`` is there, no other look begins. Result: versions, and how many looks there were. The model runs
in the server alone, so what is judged is what is served; judging is the gate's.

With ``api``, ``base_url`` is of any OpenAI-compatible API's /v1/chat/completions (``chat_api``), and neither a
tokenizer, nor its template, nor ``max_length`` is there. A prompt that is no chat is one message of a user. Only
what generates is asked: a line ``{"ranked": [TASK, ...]}`` names the tasks that are left out, because they rank
answers by likelihood. A line about a look has ``models`` too: the names the answers came under.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import math
import tempfile
import urllib.request
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from chat_api import ChatApi, take_key
from engine_protocol import EngineError, progress, serve_request, versions, write_result
from lm_eval_chat import chat_model, ranked
from lm_eval_samples import chosen, sample_of, write_texts
from lm_eval_tasks import build, isolate

PACKAGES = ("lm_eval", "transformers")
SCORED = ("task", "doc_id", "doc_hash", "prompt_hash", "value", "said")


def evaluate(request: dict[str, Any]) -> dict[str, Any]:
    """Ask look after look; raises EngineError."""
    key = take_key()
    if not request.get("api"):
        check_server(request["base_url"])
    progress(0.0, "loading the evaluator")
    with tempfile.TemporaryDirectory(prefix="lm-eval-") as scratch:
        addresses = isolate(scratch, request["base_url"])
        api = ChatApi(request["base_url"], addresses, key) if request.get("api") else None
        looks = ask_looks(request, Asking(request, api))
    return {"versions": versions(PACKAGES), "looks": looks}


def ask_looks(request: dict[str, Any], asking: Asking) -> int:
    """Ask until there is nothing left or ``enough`` is said; returns how many looks were asked."""
    looks = request["looks"]
    for number, look in enumerate(looks):
        if Path(request["enough"]).exists():
            return number
        asking.done, asking.share = number / len(looks), 1 / len(looks)
        path = Path(request["looks_dir"]) / f"{number:04}.json"
        texts = path.with_suffix(".texts.gz")
        found = asking.samples({task: ids for task, ids in look.items() if ids})
        write_texts(texts, found)
        write_result(path, {"samples": [chosen(sample, SCORED) for sample in found]})
        print(json.dumps({"look": str(path), "texts": str(texts), **asking.answered_by}), flush=True)
    return len(looks)


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


class Asking:
    """lm-eval with the server's client and the tasks loaded once; raises EngineError as its parts do.

    ``done`` and ``share`` say where the next look lies in the whole, from 0 to 1.
    """

    def __init__(self, request: dict[str, Any], api: ChatApi | None = None) -> None:
        from lm_eval.api.registry import get_model
        from lm_eval.models import api_models
        from lm_eval.tasks import TaskManager

        logging.getLogger("lm_eval").setLevel(logging.WARNING)
        self.done, self.share = 0.0, 1.0
        api_models.tqdm_asyncio = self  # in place of its bar
        self._seed, self._chat = request["seed"], set(request["chat"])
        self._named = {asked["name"]: asked for asked in request["named"]}
        self._manager = TaskManager(include_path=request["tasks_dir"], include_defaults=False)
        check_tasks(request, [*self._manager.all_tasks, *self._named])
        self._tasks = self._manager.load(self._manager.all_tasks)["tasks"]
        self._tasks |= {name: build(asked) for name, asked in self._named.items()}
        self._api = api
        if api:
            self._model, self._ranked = chat_model(request, api), ranked(self._tasks)
            print(json.dumps({"ranked": sorted(self._ranked)}), flush=True)
            return
        self._ranked = set()
        self._model = get_model("local-completions").create_from_arg_obj(
            model_arguments(request), {"batch_size": request["batch_size"]}
        )
        use_template(self._model.tokenizer, request)
        check_room(self._tasks, request["max_length"], self._model._max_gen_toks)

    @property
    def answered_by(self) -> dict[str, list[str]]:
        """The models that an API says it answered with, so far."""
        return {"models": sorted(self._api.models)} if self._api else {}

    def samples(self, look: dict[str, list[int]]) -> list[dict[str, Any]]:
        """What each of these items scored, with its texts."""
        asked = {task: ids for task, ids in look.items() if task not in self._ranked}
        chat = {task: ids for task, ids in asked.items() if task in self._chat}
        plain = {task: ids for task, ids in asked.items() if task not in self._chat}
        return [*self._asked(plain, chat=False), *self._asked(chat, chat=True)]

    def _asked(self, look: dict[str, list[int]], *, chat: bool) -> list[dict[str, Any]]:
        import lm_eval

        if not look:
            return []
        results = lm_eval.simple_evaluate(
            model=self._model,
            tasks=[self._tasks[name] for name in look],
            task_manager=self._manager,
            # lm-eval asks them in the dataset's order, and takes it for this one.
            samples={name: sorted(ids) for name, ids in look.items()},
            bootstrap_iters=0,  # no standard errors: the gate pairs items itself
            log_samples=True,
            apply_chat_template=chat or self._api is not None,
            fewshot_as_multiturn=chat or self._api is None,
            random_seed=self._seed,
            numpy_random_seed=self._seed,
            torch_random_seed=self._seed,
            fewshot_random_seed=self._seed,
            confirm_run_unsafe_code=True,  # allowed by the suite's digest, or not in the request
        )
        return [
            sample_of(name, sample, self._named.get(name, {}).get("metric"), None if self._api else self._model)
            for name in look
            for sample in results["samples"][name]
            if self._named.get(name, {}).get("filter") in (None, sample["filter"])
        ]

    async def gather(self, *tasks: Awaitable[Any], desc: str) -> list[Any]:
        """The tasks' results in their order, as ``asyncio.gather`` gives them, and a line now and then."""
        done, shown = 0, 0

        async def counted(task: Awaitable[Any]) -> Any:
            nonlocal done, shown
            result = await task
            done += 1
            if 20 * done // len(tasks) > shown:
                shown = 20 * done // len(tasks)
                progress(
                    self.done + self.share * done / len(tasks), f"{desc}: {done} of {len(tasks)} batches"
                )
            return result

        return await asyncio.gather(*(counted(task) for task in tasks))


def check_tasks(request: dict[str, Any], known: list[str]) -> None:
    """Raises EngineError (config) for a task that did not load."""
    unknown = sorted({task for look in request["looks"] for task in look} - set(known))
    if unknown:
        raise EngineError(
            "config",
            f"The suite has no task {', '.join(unknown)}",
            why=f"{Path(request['tasks_dir']).name} defines {', '.join(sorted(known)) or 'none'}",
            next_step="check the names of the suite's tasks",
        )


def check_room(tasks: dict[str, Any], max_length: int, usual: int) -> None:
    """Raises EngineError (config) where answers leave no room for prompts: lm-eval would cut them to nothing.

    ``usual`` is how many tokens an answer may have where its task says nothing.
    """
    for name, task in tasks.items():
        longest = (task.config.generation_kwargs or {}).get("max_gen_toks", usual)
        if task.OUTPUT_TYPE == "generate_until" and longest >= max_length:
            raise EngineError(
                "config",
                f"The task {name} writes up to {longest} tokens, and the server takes {max_length} in all",
                next_step="raise serve.max_model_len, or choose a suite with shorter answers",
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


def use_template(tokenizer: Any, request: dict[str, Any]) -> None:
    """Ask with the template that is served; raises EngineError (config) where there is none to ask with."""
    if request["chat_template"] is not None:
        tokenizer.chat_template = request["chat_template"]
    if request["chat"] and not tokenizer.chat_template:
        raise EngineError(
            "config",
            f"{', '.join(request['chat'])} is asked as a chat, and the model has no chat template",
            next_step="name one under serve.chat_template, or choose a suite without `chat: true`",
        )


if __name__ == "__main__":
    serve_request(evaluate)
