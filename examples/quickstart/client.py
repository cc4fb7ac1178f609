"""The quickstart's users: an open-loop client that streams completions at a steady rate.

Requests leave when a Poisson process says, whether or not earlier ones have come back, and latencies count
from that moment, so that a slow server cannot slow down the measurement of itself. It stops by itself,
or on SIGTERM, and prints what it saw; it judges nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

FACTS = Path(__file__).resolve().parent / "facts.jsonl"
SESSIONS = 50  # users; each keeps its id, and with it its place in a canary
TIMEOUT = 60.0  # seconds for one request
IN_FLIGHT = 256  # more than this many open requests would measure this client


@dataclass
class Summary:
    """What the client saw; times in seconds from the scheduled arrival to the first token."""

    sent: int = 0
    ok: int = 0
    tokens: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    first_token: list[float] = field(default_factory=list)

    def failed(self, why: str) -> None:
        """Count a request that brought no complete answer."""
        self.errors[why] = self.errors.get(why, 0) + 1

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values; quantiles are null when nothing came back."""
        return {
            "sent": self.sent,
            "ok": self.ok,
            "errors": sum(self.errors.values()),
            "errors_by_kind": self.errors,
            "tokens": self.tokens,
            "ttft_p50": quantile(self.first_token, 0.5),
            "ttft_p95": quantile(self.first_token, 0.95),
        }

    def __str__(self) -> str:
        figures = self.to_json()
        kinds = "".join(f", {count} x {kind}" for kind, count in sorted(self.errors.items()))
        return (
            f"sent {self.sent}, ok {self.ok}, errors {figures['errors']}{kinds}; "
            f"first token p50 {_milliseconds(figures['ttft_p50'])}, p95 {_milliseconds(figures['ttft_p95'])}"
        )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which this share of the values lies (nearest rank), or None without any."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Moments of a Poisson process of ``rate`` per second, in seconds from the start."""
    rng = random.Random(seed)
    moment = rng.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += rng.expovariate(rate)


def read_prompts(path: Path = FACTS) -> list[str]:
    """The questions users ask."""
    return [json.loads(line)["prompt"] for line in path.read_text(encoding="utf-8").splitlines()]


async def run(
    url: str, model: str, *, rate: float, seconds: float, seed: int, prompts: Sequence[str]
) -> Summary:
    """Send until the time is over or SIGTERM comes, then wait for what is in flight."""
    summary, rng = Summary(), random.Random(seed + 1)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT, limits=limits, trust_env=False) as http:
        started = time.monotonic()
        async with asyncio.TaskGroup() as requests:
            for moment in arrivals(rate, seconds, seed):
                scheduled = started + moment
                if await _stopped_before(stopped, scheduled):
                    break
                summary.sent += 1
                session, prompt = f"user-{rng.randrange(SESSIONS)}", rng.choice(prompts)
                requests.create_task(_ask(http, model, prompt, session, scheduled, summary))
    return summary


async def _stopped_before(stopped: asyncio.Event, moment: float) -> bool:
    try:
        async with asyncio.timeout(max(0.0, moment - time.monotonic())):
            return await stopped.wait()
    except TimeoutError:
        return stopped.is_set()


async def _ask(
    http: httpx.AsyncClient, model: str, prompt: str, session: str, scheduled: float, summary: Summary
) -> None:
    body = {"model": model, "prompt": prompt, "max_tokens": 16, "temperature": 0, "stream": True}
    body["stream_options"] = {"include_usage": True}
    try:
        async with http.stream(
            "POST", "/v1/completions", json=body, headers={"x-session-id": session}
        ) as response:
            if response.status_code != httpx.codes.OK:
                summary.failed(f"HTTP {response.status_code}")
                return
            await _read_stream(response, scheduled, summary)
    except httpx.HTTPError as error:
        summary.failed(type(error).__name__)


async def _read_stream(response: httpx.Response, scheduled: float, summary: Summary) -> None:
    """Count a stream as ok when it ended with [DONE] and carried no error."""
    first: float | None = None
    async for line in response.aiter_lines():
        if not line.startswith("data: "):
            continue
        data = line.removeprefix("data: ")
        if data == "[DONE]":
            summary.ok += 1
            if first is not None:
                summary.first_token.append(first)
            return
        event = json.loads(data)
        if "error" in event:
            summary.failed("error in the stream")
            return
        if first is None and any(choice.get("text") for choice in event.get("choices", ())):
            first = time.monotonic() - scheduled
        if not event.get("choices"):
            summary.tokens += (event.get("usage") or {}).get("completion_tokens", 0)
    summary.failed("stream cut")


def _milliseconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1000:.0f} ms"


def main() -> None:
    """Send as the command line says, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="the gateway, such as http://127.0.0.1:8000")
    parser.add_argument("--model", required=True)
    parser.add_argument("--rate", type=float, default=20.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    arguments = parser.parse_args()
    summary = asyncio.run(
        run(
            arguments.url,
            arguments.model,
            rate=arguments.rate,
            seconds=arguments.seconds,
            seed=arguments.seed,
            prompts=read_prompts(),
        )
    )
    print(json.dumps(summary.to_json()) if arguments.json else summary)


if __name__ == "__main__":
    main()
