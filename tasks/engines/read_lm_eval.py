# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["lm-eval[api,longbench]==0.4.13", "transformers==5.17.0"]
# ///
"""Says what tasks of lm-eval are, without a network: first what their files say, then what they hold.

Request: ``tasks``, each with ``lm_eval``. Without ``folder`` in it nothing of a task runs, and the result has,
in the same order, ``dataset`` and ``config`` (the hub's names), ``own_files`` (it chooses the repository's files
itself) and ``code`` (each place at which the task runs Python). With ``folder``, and ``name``, ``few_shot``,
``filter``, ``metric``, ``higher_is_better``, ``cluster``, the task is built over that dataset and the result has
``items``, ``docs`` (a digest of all of them), ``clusters``, ``texts``: some prompts with their right answers, and
``cost``: what an item takes on average (``cost_of``).
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from typing import Any

from engine_protocol import EngineError, progress, serve_request, versions
from lm_eval_tasks import build, check_dataset, code_of, isolate, written

PACKAGES = ("lm_eval", "datasets")
_TEXT = 4096  # characters of a text
_TEXTS = 400_000  # characters of all texts: twice what the fidelity gate asks
_COUNTED = 200  # items, evenly spread; lm-eval needs seconds for the prompts of a thousand
_ANSWER = 256  # tokens, where a task does not say how long one may be: its completions client's own


def read(request: dict[str, Any]) -> dict[str, Any]:
    """What each task is; raises EngineError."""
    progress(0.0, "loading the evaluator")
    with tempfile.TemporaryDirectory(prefix="lm-eval-") as scratch:
        isolate(scratch)
        found = []
        for number, asked in enumerate(request["tasks"]):
            progress(number / len(request["tasks"]), f"reading {asked['lm_eval']}")
            found.append(held(asked) if "folder" in asked else described(asked["lm_eval"]))
    return {"versions": versions(PACKAGES), "tasks": found}


def described(name: str) -> dict[str, Any]:
    """What a task's file says of its data, and of the code it runs."""
    config = written(name)
    check_dataset(name, config)
    kwargs = config.get("dataset_kwargs") or {}
    return {
        "dataset": config["dataset_path"],
        "config": config.get("dataset_name"),
        "own_files": any(key in kwargs for key in ("data_files", "data_dir")),
        "code": code_of(config),
    }


def held(asked: dict[str, Any]) -> dict[str, Any]:
    """What a task holds over its dataset; raises EngineError (config) for what the suite asks and it has not."""
    task = build(asked)
    check_asked(task, asked)
    docs = list(task.eval_docs)
    if not docs:
        raise wrong(asked["lm_eval"], "has no items", "what it asks of the dataset is empty at that commit")
    return {
        "items": len(docs),
        "docs": digest_of(docs),
        "clusters": clusters_of(docs, asked),
        "texts": some(text_of(task, doc) for doc in docs),
        "cost": cost_of(task, len(docs)),
    }


def check_asked(task: Any, asked: dict[str, Any]) -> None:
    """Raises EngineError (config) unless the task has the metric, the filter and enough worked examples."""
    filters, name = [each.name for each in task._filters], asked["lm_eval"]
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        raise wrong(name, "measures perplexity", "that has no score per item; the fidelity gate measures it")
    check_metric(task.higher_is_better(), asked)
    if asked["filter"] is None and len(filters) > 1:
        raise wrong(name, "has several filters", f"name one under `filter`: {', '.join(filters)}")
    if asked["filter"] not in (None, *filters):
        raise wrong(name, f"has no filter {asked['filter']}", f"it has {', '.join(filters)}")
    examples = len(task.sampler.df) if hasattr(task, "sampler") else 0
    if asked["few_shot"] and asked["few_shot"] >= examples:
        raise wrong(name, f"cannot show {asked['few_shot']} worked examples", f"there are {examples}")


def check_metric(directions: dict[str, bool | None], asked: dict[str, Any]) -> None:
    """Raises EngineError (config) for a metric the task has not, and for one whose direction the suite turns round.

    Judged the wrong way round, what got worse would pass. Of some metrics lm-eval says no direction.
    """
    name, metric, says = asked["lm_eval"], asked["metric"], asked["higher_is_better"]
    if metric not in directions:
        raise wrong(name, f"has no metric {metric}", f"it has {', '.join(directions)}")
    if directions[metric] not in (None, says):
        better, taken = ("less", "more") if says else ("more", "less")
        raise wrong(
            name,
            f"has a metric {metric} of which {better} is better",
            f"the suite takes {taken} for better, so a model that got worse would pass",
            f"write `higher_is_better: {str(not says).lower()}` in the task; `chance` and `floor` are scores still",
        )


def clusters_of(docs: list[dict[str, Any]], asked: dict[str, Any]) -> list[str]:
    """What each item shares with others; nothing where the suite names no field."""
    field = asked["cluster"]
    if field is None:
        return []
    if any(field not in doc for doc in docs):
        has = f"they have {', '.join(docs[0])}"
        raise wrong(asked["lm_eval"], f"has items without the field {field}", has)
    return [str(doc[field]) for doc in docs]


def wrong(name: str, what: str, why: str, next_step: str = "correct the suite") -> EngineError:
    """The suite asks what the task has not."""
    return EngineError("config", f"lm-eval's task {name} {what}", why=why, next_step=next_step)


def digest_of(docs: list[dict[str, Any]]) -> str:
    """The digest of all documents in their order, each hashed as lm-eval does in its samples."""
    from lm_eval.utils import handle_non_serializable, hash_string

    whole = hashlib.sha256()
    for doc in docs:
        text = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
        whole.update(f"{hash_string(text)}\n".encode())
    return whole.hexdigest()


def text_of(task: Any, doc: dict[str, Any]) -> str:
    """An item's prompt, without worked examples, and its right answer where that is a text."""
    question, answer = task.doc_to_text(doc), task.doc_to_target(doc)
    choices = task.doc_to_choice(doc) if task.config.doc_to_choice else []
    if isinstance(question, int):  # the choices are the prompts
        return f"{choices[question]}{task.config.target_delimiter}{answer}"
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if isinstance(answer, int) and answer < len(choices):
        answer = choices[answer]
    return f"{question}{task.config.target_delimiter}{answer}" if isinstance(answer, str) else question


def cost_of(task: Any, items: int) -> dict[str, float]:
    """What an item takes on average: requests, characters of their prompts, and tokens generated at most.

    Of the requests that lm-eval builds, worked examples and all, before a chat template.
    """
    counted = sorted({number * items // _COUNTED for number in range(_COUNTED)})
    task.set_fewshot_seed(0)
    task.build_all_requests(samples=counted)
    asked = [request.args for request in task.instances for _ in range(request.repeats)]
    ranked = task.OUTPUT_TYPE != "generate_until"
    answer = 1 if ranked else (task.config.generation_kwargs or {}).get("max_gen_toks", _ANSWER)
    return {
        "requests": len(asked) / len(counted),
        "characters": sum(len(context) + (len(rest) if ranked else 0) for context, rest, *_ in asked) / len(counted),
        "generated": answer * len(asked) / len(counted),
    }


def some(texts: Iterator[str]) -> list[str]:
    """As many as there is room for, drawn by their digests: the same ones each time, from all over the dataset."""
    short = {text[:_TEXT] for text in texts if text.strip()}
    chosen, size = [], 0
    for text in sorted(short, key=lambda text: hashlib.sha256(text.encode()).digest()):
        size += len(text)
        if size > _TEXTS:
            break
        chosen.append(text)
    return chosen


if __name__ == "__main__":
    serve_request(read)
