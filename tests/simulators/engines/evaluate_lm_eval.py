# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Stands in for lm-eval: asks the server once, then scores items by the accuracy the model's config names.
An API is asked every item.

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
from urllib.parse import urlsplit

from chat_api import ChatApi, take_key
from engine_protocol import serve_request


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    if request.get("api"):
        sys.exit(serve_request(asked_of_api))
    body = json.dumps({"model": request["model"], "prompt": "Hello", "max_tokens": 1}).encode()
    ask = urllib.request.Request(request["base_url"], body, {"Content-Type": "application/json"})
    urllib.request.urlopen(ask, timeout=10).close()
    with urllib.request.urlopen(request["base_url"], timeout=10) as told:
        server = json.loads(told.read())["name"]
    config = json.loads((Path(request["tokenizer_dir"]) / "config.json").read_text())
    simulate = config.get("simulate", {})
    upgrade = Path(__file__).resolve().parent / "upgrade.json"
    lost = json.loads(upgrade.read_text())["lost"] if server == "upgraded" else 0.0
    accuracy = simulate.get("accuracy", 0.95) - lost - _lost(config, simulate)
    for number, look in enumerate(request["looks"]):
        time.sleep(simulate.get("evaluate_seconds", 0.0) / len(request["looks"]))
        if Path(request["enough"]).exists():
            break
        samples: list[dict[str, object]] = []
        for task, doc_ids in look.items():
            rows = _named_rows(request, task) or _rows(Path(request["tasks_dir"]) / f"{task}.yaml")
            prompt = _prompt(request, task)
            found = [_sample(task, i, rows[i], prompt, accuracy) for i in doc_ids]
            samples += map(_for_people, found) if _by_people(request, task) else found
        path = Path(request["looks_dir"]) / f"{number:04}.json"
        path.write_text(json.dumps({"samples": samples}))
        texts = path.with_suffix(".texts.gz")
        texts.write_bytes(gzip.compress("\n".join(map(_text, samples)).encode(), mtime=0))
        print(json.dumps({"look": str(path), "texts": str(texts)}), flush=True)
    Path(sys.argv[2]).write_text(json.dumps({"ok": True, "versions": {"simulated-eval": "1"}}))


def asked_of_api(request: dict[str, Any]) -> dict[str, Any]:
    """Ask the API each item of the tasks that generate, through the client that the real engine has."""
    url = urlsplit(request["base_url"])
    api = ChatApi(request["base_url"], [(str(url.hostname), int(url.port or 80))], take_key(), pause=0.01)
    files = {path.stem: path for path in Path(request["tasks_dir"]).glob("*.yaml")}
    ranked = sorted(name for name, path in files.items() if "multiple_choice" in path.read_text())
    print(json.dumps({"ranked": ranked}), flush=True)
    for number, look in enumerate(request["looks"]):
        samples = []
        for task in sorted(look.keys() - {*ranked}):
            rows = _rows(files[task])
            samples += [_answered(api, request["model"], task, i, rows[i]) for i in look[task]]
        path = Path(request["looks_dir"]) / f"{number:04}.json"
        path.write_text(json.dumps({"samples": samples}))
        print(json.dumps({"look": str(path), "models": sorted(api.models)}), flush=True)
    return {"versions": {"simulated-eval": "1"}}


def _answered(api: ChatApi, model: str, task: str, number: int, row: str) -> dict[str, object]:
    said = json.loads(row)
    answer = api.answer({"model": model, "messages": [{"role": "user", "content": said["q"]}]})
    digest = hashlib.sha256(row.encode()).hexdigest()
    hashes = {"doc_hash": digest, "prompt_hash": f"chat {digest}"}
    return {"task": task, "doc_id": number, **hashes, "value": float(answer == said["a"])}


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


def _prompt(request: dict[str, Any], task: str) -> str:
    """What every item is asked with: in a chat, by a template that knows one message and nothing else."""
    template = request["chat_template"] if task in request["chat"] else None
    return (template or "{{ messages[0].content }}").replace("{{ messages[0].content }}", "What is it?")


def _sample(task: str, number: int, row: str, prompt: str, accuracy: float) -> dict[str, object]:
    digest, asked = (hashlib.sha256(text.encode()).hexdigest() for text in (row, row + prompt))
    value = float(int(digest[:8], 16) / 2**32 < accuracy)
    place = {"task": task, "doc_id": number, "doc_hash": digest, "prompt_hash": asked}
    return {**place, "value": value, "prompt": prompt}


def _by_people(request: dict[str, Any], task: str) -> bool:
    path = Path(request["tasks_dir"]) / f"{task}.yaml"
    return path.exists() and "metric: bypass" in path.read_text()


def _for_people(sample: dict[str, object]) -> dict[str, object]:
    """The same without its score, with an answer that people see it by: \"right\" or \"wrong\"."""
    return {**sample, "value": None, "said": " right" if sample["value"] else " wrong"}


def _text(sample: dict[str, object]) -> str:
    place = {name: sample[name] for name in ("task", "doc_id", "prompt")}
    return json.dumps({**place, "answer": "right" if sample["value"] else "<b>wrong</b>"})


main()
