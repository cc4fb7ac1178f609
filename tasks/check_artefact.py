"""Check an artefact: is what a quantizer wrote what its recipe says, and otherwise its source?

No server is needed. Reads headers, small JSON files and samples of the numbers; no tensor is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from prefect import task
from prefect.cache_policies import NO_CACHE

from eval_suites import sanity
from eval_suites.answers import Answer
from eval_suites.artefact import Artefact, is_spare
from eval_suites.quantized_layers import FLOATS, PACKED, SCALES, Scheme
from eval_suites.sanity_answers import judge_answers
from eval_suites.tensor_values import Sample, look_at
from judging.verdict import Verdict
from registry.admission import CONFIG, is_weights
from registry.blobs import BlobStore
from registry.manifest import Manifest
from registry.safetensors import Header, Tensor, read_header
from registry.weight_index import refuse_twice, refuse_wrong_shards, shards_of
from tasks.engine_limits import Model
from tasks.quantize import Quantized
from tasks.workplace import Workplace

_INDEX = ".safetensors.index.json"
_PIECES = 8  # of a tensor, evenly spread
_PIECE = 8192  # bytes, of few tensors
_SMALL_PIECE = 1024  # bytes, of the many that a mixture of experts has
_MANY = 8192  # tensors


@task(cache_policy=NO_CACHE)
def check_artefact(place: Workplace, source: Manifest, weights: Quantized) -> Verdict:
    """The verdict on the files of weights, which may be the source's own."""
    if weights.manifest == source:
        return sanity.untouched(weights.recipe)
    with place.stage("check", "what the quantizer wrote"):
        blobs, made = place.blobs, weights.manifest
        before = _artefact(blobs, source, made, {f"{layer}.weight" for layer in weights.targets})
        try:
            after = _artefact(blobs, made, source)
        except (KeyError, ValueError) as problem:
            return sanity.unreadable(f"what the quantizer wrote cannot be read: {problem}")
        about = Model(before.config, before.tensors).to_quantize(weights.recipe.get("ignore", ()))
        expected = {name: t for name, t in about.items() if not is_spare(name, before.config)}
        return sanity.judge(Scheme.of(weights.recipe), weights.targets, expected, before, after)


def check_answers(files: Verdict, candidate: Sequence[Answer], source: Sequence[Answer] | None) -> Verdict:
    """The verdict on files, and on what the artefact answered beside the source, if it is not that itself."""
    return Verdict.of([*files.findings, *judge_answers(candidate, source).findings])


def _artefact(
    blobs: BlobStore, manifest: Manifest, other: Manifest, sampled: Collection[str] = ()
) -> Artefact:
    """What is known of a manifest's files; JSON is read where the other manifest has it differently.

    Numbers are read of quantized layers, and of the tensors ``sampled``.
    """
    headers = dict(_headers(blobs, manifest))
    refuse_twice({path: header.tensors for path, header in headers.items()})
    _compare_with_index(blobs, manifest, headers)
    rest = {p: e for p, e in manifest.files.items() if not is_weights(p) and not p.endswith(_INDEX)}
    changed = [p for p, e in rest.items() if p.endswith(".json") and other.files.get(p) not in {None, e}]
    return Artefact(
        tensors={name: tensor for header in headers.values() for name, tensor in header.tensors.items()},
        config=_json(blobs, manifest, CONFIG),
        files={path: entry.digest for path, entry in rest.items() if path != CONFIG},
        json={path: _json(blobs, manifest, path) for path in changed},
        samples=dict(_samples(blobs, manifest, headers, sampled)),
    )


def _headers(blobs: BlobStore, manifest: Manifest) -> Iterator[tuple[str, Header]]:
    for path, entry in manifest.files.items():
        if is_weights(path):
            with blobs.open(entry.digest) as file:
                yield path, read_header(file, entry.size)


def _compare_with_index(blobs: BlobStore, manifest: Manifest, headers: Mapping[str, Header]) -> None:
    for path in manifest.files:
        if path.endswith(_INDEX):
            tensors = {shard: header.tensors for shard, header in headers.items()}
            refuse_wrong_shards(shards_of(_json(blobs, manifest, path), headers.keys()), tensors)


def _json(blobs: BlobStore, manifest: Manifest, path: str) -> Any:
    with blobs.open(manifest.files[path].digest) as file:
        return json.load(file)


def _samples(
    blobs: BlobStore, manifest: Manifest, headers: Mapping[str, Header], also: Collection[str]
) -> Iterator[tuple[str, Sample]]:
    """Of every scale and every packed weight, and of floats among these other tensors."""
    chosen = {
        path: [n for n, t in h.tensors.items() if _is_sampled(n, t) or (n in also and t.dtype in FLOATS)]
        for path, h in headers.items()
    }
    size = _PIECE if sum(map(len, chosen.values())) <= _MANY else _SMALL_PIECE
    for path, names in chosen.items():
        with blobs.open(manifest.files[path].digest) as file:
            for name in names:
                tensor, start = headers[path].tensors[name], headers[path].data_start
                yield name, look_at(tensor.dtype, _read(file, start, _pieces(tensor, size)))


def _is_sampled(name: str, tensor: Tensor) -> bool:
    part = name.rpartition(".")[2]
    return part in {*SCALES, *PACKED} or (part == "weight" and tensor.dtype == "I8")


def _read(file: BinaryIO, start: int, pieces: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    for begin, end in pieces:
        file.seek(start + begin)
        yield file.read(end - begin)


def _pieces(tensor: Tensor, size: int) -> list[tuple[int, int]]:
    """Begin and end of what is looked at, in bytes of the data; a small tensor is one piece."""
    if tensor.size <= _PIECES * size:
        return [(tensor.begin, tensor.end)]
    step = (tensor.size - size) // (_PIECES - 1) // size * size
    return [(tensor.begin + n * step, tensor.begin + n * step + size) for n in range(_PIECES)]
