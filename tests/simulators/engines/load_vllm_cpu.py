# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Stands in for vLLM's load generator: requests at even distances, and the same file about them."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine_protocol import serve_request


def make_load(request: dict[str, Any]) -> dict[str, Any]:
    for run in request["runs"]:
        flags = dict(zip(run["arguments"], run["arguments"][1:], strict=False))
        ended, result = ask_all(flags, time.perf_counter() + request["patience"])
        if ended:
            (Path(request["results_dir"]) / flags["--result-filename"]).write_text(json.dumps(result))
        print(json.dumps({"run": run["name"], "ended": ended}), flush=True)
    return {"versions": {"simulated-load": "1"}}


def ask_all(flags: dict[str, str], deadline: float) -> tuple[bool, dict[str, Any]]:
    count, rate = int(flags["--num-prompts"]), float(flags["--request-rate"])
    found: list[dict[str, Any]] = [{} for _ in range(count)]
    threads = [threading.Thread(target=ask, args=(flags, one), daemon=True) for one in found]
    began = time.perf_counter()
    for number, thread in enumerate(threads):
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.perf_counter()))
    lists = {name: [one.get(name, 0.0) for one in found] for name in ("ttfts", "latencies", "start_times")}
    lengths = {name: [one.get(name, 0) for one in found] for name in ("input_lens", "output_lens")}
    errors = [one.get("errors", "") for one in found]
    done = sum(not error for error in errors)
    result = {"duration": time.perf_counter() - began, "completed": done, "failed": count - done}
    return not any(thread.is_alive() for thread in threads), {**result, **lists, **lengths, "errors": errors}


def ask(flags: dict[str, str], one: dict[str, Any]) -> None:
    began = one["start_times"] = time.perf_counter()
    body = {"model": flags["--model"], "prompt": "x", "max_tokens": int(flags["--random-output-len"])}
    try:
        connection = http.client.HTTPConnection(urlsplit(flags["--base-url"]).netloc)
        connection.request("POST", "/v1/completions", json.dumps({**body, "stream": True}))
        reply = connection.getresponse()
        tokens = []
        while reply.status == http.client.OK and (line := reply.readline()):
            if line.startswith(b"data: {") and json.loads(line[6:]).get("choices"):
                tokens.append(time.perf_counter())
        one["errors"] = "" if tokens else reply.reason
    except (OSError, http.client.HTTPException) as problem:
        one["errors"] = f"Traceback\n{type(problem).__name__}: {problem}"
        return
    if tokens:
        one |= {"ttfts": tokens[0] - began, "latencies": tokens[-1] - began}
        one |= {"output_lens": len(tokens), "input_lens": int(flags["--random-input-len"])}


sys.setswitchinterval(0.001)
serve_request(make_load)
