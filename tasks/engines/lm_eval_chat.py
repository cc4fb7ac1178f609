"""What lm-eval needs to ask a chat API: a model that speaks through ``chat_api``, and what it cannot ask."""

from __future__ import annotations

import asyncio
from typing import Any

from chat_api import ChatApi


def chat_model(request: dict[str, Any], api: ChatApi) -> Any:
    """lm-eval's client of chat completions, with the API in place of its own way to the network."""
    from lm_eval.api.registry import get_model

    arguments = {
        "model": request["model"],
        "num_concurrent": max(2, request["num_concurrent"]),
        "max_retries": 1,
    }
    model = get_model("local-chat-completions").create_from_arg_obj(arguments, {"batch_size": 1})

    async def answers(sem: asyncio.Semaphore, messages: Any, gen_kwargs: Any, **_session: Any) -> list[str]:
        chat = model.create_message(messages)
        payload = model._create_payload(chat, gen_kwargs=dict(gen_kwargs), seed=request["seed"])
        async with sem:
            return [await asyncio.to_thread(api.answer, payload)]

    model.amodel_call = answers
    return model


def ranked(tasks: dict[str, Any]) -> set[str]:
    """The tasks that want the likelihood of given answers, which a chat API does not tell."""
    return {name for name, task in tasks.items() if task.OUTPUT_TYPE != "generate_until"}
