"""A dataset in the form of AI2's ARC for lm-eval's own tasks: tiny, in words that a tiny model knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.simulators.hub import HubSimulator

REPOSITORY = "datasets/allenai/ai2_arc"
CARD = """\
---
license: cc-by-sa-4.0
configs:
- config_name: ARC-Easy
  data_files: ARC-Easy/*
- config_name: ARC-Challenge
  data_files:
  - {split: train, path: ARC-Challenge/train-*}
  - {split: validation, path: [ARC-Challenge/validation-*]}
  - {split: test, path: ARC-Challenge/test-*}
---
# Questions
"""


@contextmanager
def arc_hub(patch: pytest.MonkeyPatch) -> Iterator[HubSimulator]:
    """A hub with the dataset, which is the hub of whoever asks in this process."""
    with HubSimulator() as simulator:
        simulator.push(REPOSITORY, arc_files())
        patch.setenv("HF_ENDPOINT", simulator.endpoint)
        yield simulator


def arc_files(items: int = 12) -> dict[str, bytes]:
    """The repository's files: item ``n`` of the test has its right answer at place ``n % 4``."""
    splits = {"train": 5, "validation": 5, "test": items}
    rows = {f"ARC-Challenge/{name}-0.jsonl": _rows(name, count) for name, count in splits.items()}
    return {"README.md": CARD.encode(), "ARC-Easy/train.jsonl": _rows("easy", 3), "script.py": b"1/0", **rows}


def arc_suite(folder: Path, hub: HubSimulator, **change: Any) -> str:
    """A suite file with one task, at the commit the dataset is at."""
    task = {
        "name": "arc",
        "lm_eval": "arc_challenge",
        "dataset_commit": hub.repositories[REPOSITORY].branches["main"],
        "few_shot": 0,
        "metric": "acc",
        "chance": 0.25,
        "margin": 0.05,
        **change,
    }
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"name": "own", "description": "Own.", "tasks": [task]}))
    return str(path)


def _rows(split: str, count: int) -> bytes:
    lines = (
        {
            "id": f"{split}-{number}",
            "question": f"word{number} word{len(split)}",
            "choices": {"text": [f"word{10 * place}" for place in range(1, 5)], "label": list("ABCD")},
            "answerKey": "ABCD"[number % 4],
        }
        for number in range(count)
    )
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
