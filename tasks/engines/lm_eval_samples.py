"""What lm-eval found of an item, as the gate pairs it and as people read it."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

from engine_protocol import EngineError

BY_PEOPLE = "bypass"  # lm-eval's metric that scores nothing
READ = ("task", "doc_id", "prompt", "answer")
LONGEST_PROMPT, LONGEST_ANSWER = 2000, 500  # characters that are kept for people to read
OWN_TOKENS = 8  # more than a tokenizer adds of its own to a text


def sample_of(task: str, sample: dict[str, Any], metric: str | None = None, model: Any = None) -> dict[str, Any]:
    """One item as the gate pairs it and people read it, by its only metric or this one; raises EngineError (config).

    A value that is no finite number becomes null, for the gate to see. Of long texts both ends are kept. What
    people judge has no value, and ``said`` is its whole answer. ``model`` is lm-eval's client where that cuts prompts.
    """
    by_people = metric is None and sample["metrics"] == [BY_PEOPLE]
    metric = metric or sample["metrics"][0]
    value = math.nan if by_people else value_of(task, sample, metric)
    answer = answer_of(sample, metric)
    return {
        "task": task,
        "doc_id": sample["doc_id"],
        "doc_hash": sample["doc_hash"],
        "prompt_hash": sample["prompt_hash"] + (cut_of(sample, model) if model else ""),
        "value": value if math.isfinite(value) else None,
        "prompt": shortened(str(sample["arguments"][0][0]), LONGEST_PROMPT),
        "answer": shortened(answer, LONGEST_ANSWER),
        "said": answer.encode(errors="replace").decode() if by_people else None,
    }


def value_of(task: str, sample: dict[str, Any], metric: str) -> float:
    """What an item scores by a metric; raises EngineError (config) where that is no number, or not from 0 to 1."""
    try:
        value = float(sample[metric])
    except (TypeError, KeyError):
        raise EngineError(
            "config",
            f"the metric {metric} of {task} gives no number per item",
            why=f"each item has {', '.join(sample['metrics'])}",
            next_step="choose another metric in the suite",
        ) from None
    if math.isfinite(value) and not 0 <= value <= 1:
        raise EngineError(
            "config",
            f"the metric {metric} of {task} gives item {sample['doc_id']} the score {value:g}",
            why="a margin is a share of the score, so only scores from 0 to 1 are judged",
            next_step="choose a metric in the suite that scores each item from 0 to 1",
        )
    return value


def cut_of(sample: dict[str, Any], model: Any) -> str:
    """What tells an item apart that is asked with its prompt cut on the left: to how many tokens. Else nothing.

    lm-eval cuts what does not fit, and its hash is of the whole prompt; cut otherwise, it is another prompt.
    """
    rooms = (room_if_cut(model, *arguments[:2]) for arguments in sample["arguments"])
    return next((f"-cut-{room}" for room in rooms if room), "")


def room_if_cut(model: Any, context: str, rest: Any) -> int:
    """The tokens that lm-eval's client cuts a request to; 0 where it fits. ``rest`` is a continuation, or settings."""
    text, room = context, model.max_length
    if isinstance(rest, str):
        text += rest
    else:
        room -= rest.get("max_gen_toks", model._max_gen_toks)
    if len(text.encode(errors="replace")) + OWN_TOKENS <= room:  # a token has a byte at least
        return 0
    return room if len(model.tok_encode(text)) > room else 0


def answer_of(sample: dict[str, Any], metric: str) -> str:
    """What was generated, or the text of the choice that was likeliest: to ``acc_norm``, per character."""
    if not isinstance(sample["arguments"][0][1], str):  # what to generate up to, and no continuation
        return str(sample["resps"][0][0])
    choices = [continuation.strip() for _, continuation in sample["arguments"]]
    likelihoods = [replies[0][0] for replies in sample["resps"]]
    if metric == "acc_norm":
        likelihoods = [value / max(len(choice), 1) for value, choice in zip(likelihoods, choices, strict=True)]
    return str(choices[likelihoods.index(max(likelihoods))])


def shortened(text: str, longest: int) -> str:
    """Both ends of a long text: templates begin a prompt, and questions and conclusions come in the end."""
    if len(text) <= longest:
        return text
    begin, end = longest // 5, longest * 4 // 5 - 5
    return f"{text[:begin]} ... {text[-end:]}"


def write_texts(path: Path, samples: list[dict[str, Any]]) -> None:
    """Write what people read of these items; the same texts are the same bytes."""
    lines = [json.dumps(chosen(sample, READ)) for sample in samples]
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def chosen(sample: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """These fields of a sample."""
    return {name: sample[name] for name in names}
