"""Repositories and hubs that no model may come from.

A case is an honest little model in which one thing is wrong: here is what cases are made of, the cases
themselves are in ``hostile_cases``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulators.hub import Answer, HubSimulator, git_sha1
from tests.simulators.weights import safetensors

REPO = "acme/tiny"
URI = f"hf://{REPO}"
SHARD = "model.safetensors"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"

Lie = Callable[[str, Answer], Answer]


@dataclass(frozen=True)
class Case:
    """What is wrong, words of the message it must get, the files (None drops one), and what the hub says."""

    name: str
    words: tuple[str, ...]
    files: Mapping[str, bytes | None] = field(default_factory=dict)
    lie: Lie | None = None

    def push(self, hub: HubSimulator) -> None:
        """Put the repository on a hub, and have it lie."""
        files = {path: data for path, data in (honest() | self.files).items() if data is not None}
        hub.push(REPO, files)
        hub.lie = self.lie


def honest() -> dict[str, bytes]:
    """A model with which nothing is wrong."""
    return {
        "config.json": json.dumps({"model_type": "llama", "hidden_size": 4}).encode(),
        "tokenizer.json": b'{"version": "1.0"}',
        "tokenizer_config.json": b"{}",
        "chat_template.jinja": b"{{ messages }}",
        "LICENSE": b"Do what you like.",
        SHARD: safetensors({"a": ("F16", (2, 4), bytes(16)), "b": ("F32", (4,), bytes(16))}),
    }


# --- what a case is made of -------------------------------------------------------------------


def named(path: str) -> dict[str, bytes | None]:
    """One more file."""
    return {path: b"{}"}


def as_json(value: Any) -> bytes:
    """JSON text."""
    return json.dumps(value).encode()


def config(**values: Any) -> dict[str, bytes | None]:
    """Further keys of config.json."""
    return {"config.json": as_json({"model_type": "llama", **values})}


def only(path: str) -> dict[str, bytes | None]:
    """No safetensors, and this file in their place."""
    return {SHARD: None, path: b"\x80\x04."}


def weights(data: bytes) -> dict[str, bytes | None]:
    """Other content of the one shard."""
    return {SHARD: data}


def header(value: Any, data: bytes = bytes(16), length: int | None = None) -> dict[str, bytes | None]:
    """A shard with this header (a value or its bytes), claiming another length of it on demand."""
    text = value if isinstance(value, bytes) else as_json(value)
    return weights(struct.pack("<Q", len(text) if length is None else length) + text + data)


def tensor(**changed: Any) -> dict[str, bytes | None]:
    """A shard of one tensor of 16 bytes, described otherwise."""
    return header({"a": {"dtype": "F16", "shape": [8], "data_offsets": [0, 16], **changed}})


def two(first: tuple[int, int], second: tuple[int, int]) -> dict[str, bytes | None]:
    """A shard of two tensors of bytes, at these places in 16 bytes."""
    places = {"a": first, "b": second}
    return header(
        {name: {"dtype": "U8", "shape": [e - b], "data_offsets": [b, e]} for name, (b, e) in places.items()}
    )


def number(dtype: str, data: bytes) -> dict[str, bytes | None]:
    """A shard of zeros of a type, with one number among them."""
    zeros = bytes(len(data) * 50)
    return weights(safetensors({"a": (dtype, (101,), zeros + data + zeros)}))


def late_nan() -> dict[str, bytes | None]:
    """A tensor of 8 MB of which the second half is not finite, behind sixty honest ones."""
    half = 2 << 20
    tensors = {f"{n:02}": ("F16", (4,), bytes(8)) for n in range(60)}
    return weights(safetensors({**tensors, "z": ("F16", (2 * half,), bytes(2 * half) + b"\0\x7e" * half)}))


def sharded(weight_map: Any, second: str = "b") -> dict[str, bytes | None]:
    """Two shards, of the tensor a and of another, and an index."""
    return {
        SHARD: None,
        FIRST: safetensors({"a": ("F16", (4,), bytes(8))}),
        SECOND: safetensors({second: ("F16", (4,), bytes(8))}),
        INDEX: as_json({"metadata": {}, "weight_map": weight_map}),
    }


def in_tree(edit: Callable[[list[Any]], Any]) -> Lie:
    """A hub whose listing is edited."""

    def lie(path: str, answer: Answer) -> Answer:
        if "/tree/" not in path:
            return answer
        return Answer(200, {"Content-Type": "application/json"}, as_json(edit(json.loads(answer.body))))

    return lie


def in_entry(name: str, **changed: Any) -> Lie:
    """A hub that lists one file otherwise; None leaves the key away."""

    def edit(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for entry in entries:
            if entry["path"] == name:
                entry.update(changed)
        return [{key: value for key, value in entry.items() if value is not None} for entry in entries]

    return in_tree(edit)


def on(part: str, edit: Callable[[Answer], Answer]) -> Lie:
    """A hub that answers otherwise where a path has this part."""
    return lambda path, answer: edit(answer) if part in path and answer.status == 200 else answer


def page(_: Answer) -> Answer:
    """What a captive portal or a login wall answers, with the best of statuses."""
    return Answer(200, {"Content-Type": "text/html"}, b"<!doctype html><title>Sign in</title>")


def moved(location: str) -> Callable[[Answer], Answer]:
    """A redirect."""
    return lambda answer: Answer(302, {**answer.headers, "Location": location})


def body(change: Callable[[bytes], bytes], **headers: str) -> Callable[[Answer], Answer]:
    """Another content, under headers that promise the true one."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda answer: Answer(answer.status, {**answer.headers, **more}, change(answer.body))


def cut_short(answer: Answer) -> Answer:
    """The promised length and half of the bytes."""
    headers = {**answer.headers, "Content-Length": str(len(answer.body)), "Connection": "close"}
    return Answer(answer.status, headers, answer.body[: len(answer.body) // 2])


def other_etag(answer: Answer) -> Answer:
    """Another content, with checksums in the headers that fit it."""
    other = bytes(len(answer.body))
    etag = f'"{git_sha1(other)}"'
    return Answer(answer.status, {**answer.headers, "ETag": etag, "X-Linked-Etag": etag}, other)


def flipped(data: bytes) -> bytes:
    """One bit of the last byte changed."""
    return data[:-1] + bytes([data[-1] ^ 1]) if data else data
