# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Stands in for lm-eval: asks the server once, then scores items by the accuracy the model's config names.

Items fall the same way for every model: a better model answers a superset of what a worse one does.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    body = json.dumps({"model": request["model"], "prompt": "Hello", "max_tokens": 1}).encode()
    ask = urllib.request.Request(request["base_url"], body, {"Content-Type": "application/json"})
    urllib.request.urlopen(ask, timeout=10).close()
    config = json.loads((Path(request["tokenizer_dir"]) / "config.json").read_text())
    simulate = config.get("simulate", {})
    upgrade = Path(__file__).resolve().parent / "upgrade.json"
    lost = json.loads(upgrade.read_text())["lost"] if upgrade.exists() else 0.0
    accuracy = simulate.get("accuracy", 0.95) - lost - _lost(config, simulate)
    for number, look in enumerate(request["looks"]):
        time.sleep(simulate.get("evaluate_seconds", 0.0) / len(request["looks"]))
        if Path(request["enough"]).exists():
            break
        samples: list[dict[str, object]] = []
        for task, doc_ids in look.items():
            rows = _named_rows(request, task) or _rows(Path(request["tasks_dir"]) / f"{task}.yaml")
            found = [_sample(task, i, rows[i], accuracy) for i in doc_ids]
            samples += map(_for_people, found) if _by_people(request, task) else found
        path = Path(request["looks_dir"]) / f"{number:04}.json"
        path.write_text(json.dumps({"samples": samples}))
        texts = path.with_suffix(".texts.gz")
        texts.write_bytes(gzip.compress("\n".join(map(_text, samples)).encode(), mtime=0))
        print(json.dumps({"look": str(path), "texts": str(texts)}), flush=True)
    Path(sys.argv[2]).write_text(json.dumps({"ok": True, "versions": {"simulated-eval": "1"}}))


def _lost(config: dict[str, Any], simulate: dict[str, Any]) -> float:
    """What quantization costs: ``lost``, or what ``lost_in_groups`` has for the group size."""
    if "quantization_config" not in config:
        return 0.0
    groups = str(config["quantization_config"]["group_size"])
    return float(simulate.get("lost_in_groups", {}).get(groups, simulate.get("lost", 0.0)))


def _named_rows(request: dict[str, Any], task: str) -> list[str]:
    """Of a task of lm-eval's: the lines of its dataset's test."""
    folders = [Path(named["folder"]) for named in request["named"] if named["name"] == task]
    files = [path for folder in folders for path in sorted(folder.glob("*/test-*"))]
    return [line for path in files for line in path.read_text().splitlines()]


def _rows(task_file: Path) -> list[str]:
    dataset = re.search(r"test: (\S+\.jsonl)", task_file.read_text())
    assert dataset
    return Path(dataset[1]).read_text().splitlines()


def _sample(task: str, number: int, row: str, accuracy: float) -> dict[str, object]:
    digest = hashlib.sha256(row.encode()).hexdigest()
    value = float(int(digest[:8], 16) / 2**32 < accuracy)
    return {"task": task, "doc_id": number, "doc_hash": digest, "prompt_hash": digest, "value": value}


def _by_people(request: dict[str, Any], task: str) -> bool:
    path = Path(request["tasks_dir"]) / f"{task}.yaml"
    return path.exists() and "metric: bypass" in path.read_text()


def _for_people(sample: dict[str, object]) -> dict[str, object]:
    """The same without its score, with an answer that people see it by: \"right\" or \"wrong\"."""
    return {**sample, "value": None, "said": " right" if sample["value"] else " wrong"}


def _text(sample: dict[str, object]) -> str:
    place = {"task": sample["task"], "doc_id": sample["doc_id"]}
    answer = "right" if sample["value"] else "<b>wrong</b>"
    return json.dumps({**place, "prompt": "What is it?", "answer": answer})


main()
