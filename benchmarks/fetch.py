"""What verifying costs: a fetch of 4 GiB in 8 shards, against the hub client's own ``snapshot_download``.

Both are whole processes that download from the same hub on this machine, in turn, onto a memory file system
where there is one: what is compared is the work, not this machine's disk. The client verifies no content and
flushes nothing; the fetch hashes every byte, reads every header, and puts blobs into a store.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from benchmarks.cost import Cost, cost_of
from benchmarks.fast_hub import COMMIT, REPO

ROUNDS = 5
SHARDS, SHARD = 8, 512 << 20  # files, bytes of each
_GIB = 1 << 30

_CLIENT = """
import sys
from huggingface_hub import constants, snapshot_download
from huggingface_hub.utils import disable_progress_bars
disable_progress_bars()
constants.HF_HUB_DISABLE_XET = True
snapshot_download(sys.argv[3], revision=sys.argv[4], local_dir=sys.argv[2], endpoint=sys.argv[1], token=False)
"""
_FETCH = """
import sys
from pathlib import Path
from registry.blobs import BlobStore
from tasks.download import download
from tasks.hub_source import HubSource
source = HubSource(f"hf://{sys.argv[3]}", endpoint=sys.argv[1], token=None)
listing = source.resolve(sys.argv[4], lambda *_: None)
folder = Path(sys.argv[2])
download(source, listing, folder / "files", BlobStore(folder / "blobs"), lambda *_: None)
"""


def main() -> None:
    """Print the figures: medians of whole processes, ratios pair by pair."""
    with _room() as folder, _hub(folder / "hub") as endpoint:
        pairs = [(_run(_CLIENT, endpoint, folder), _run(_FETCH, endpoint, folder)) for _ in range(ROUNDS)]
    figures = summed_up(pairs)
    for name, value in figures.items():
        print(f"{name}={value:.2f}")
    if "--json" in sys.argv:
        Path("fetch.json").write_text(json.dumps(figures))


def summed_up(pairs: list[tuple[Cost, Cost]]) -> dict[str, float]:
    """The figures of pairs of client and fetch."""
    gib = SHARDS * SHARD / _GIB
    client, ours = zip(*pairs, strict=True)
    return {
        "fetch_gib_s": statistics.median(gib / cost.wall for cost in ours),
        "client_gib_s": statistics.median(gib / cost.wall for cost in client),
        "verified_overhead_pct": 100 * (statistics.median(o.wall / c.wall for c, o in pairs) - 1),
        "cpu_s_per_gib": statistics.median(cost.cpu / gib for cost in ours),
        "client_cpu_s_per_gib": statistics.median(cost.cpu / gib for cost in client),
        "peak_memory_mib": max(cost.peak for cost in ours) / (1 << 20),
        "client_peak_memory_mib": max(cost.peak for cost in client) / (1 << 20),
    }


@contextmanager
def _room() -> Iterator[Path]:
    """A folder with room for what is served and what is fetched, in memory where that is possible."""
    memory, needed = Path("/dev/shm"), 2 * SHARDS * SHARD + _GIB
    in_memory = memory.is_dir() and shutil.disk_usage(memory).free > needed
    with tempfile.TemporaryDirectory(dir=memory if in_memory else None) as name:
        print(f"on {'a memory file system' if in_memory else 'disk'}", file=sys.stderr)
        yield Path(name)


@contextmanager
def _hub(folder: Path) -> Iterator[str]:
    folder.mkdir()
    listing = [_file(folder, "config.json", b'{"model_type": "llama"}')]
    names = [f"model-{n:05}-of-{SHARDS:05}.safetensors" for n in range(1, SHARDS + 1)]
    listing += [_shard(folder / name, number) for number, name in enumerate(names)]
    index = {"metadata": {}, "weight_map": {f"t{number}": name for number, name in enumerate(names)}}
    listing.append(_file(folder, "model.safetensors.index.json", json.dumps(index).encode()))
    (folder / "listing.json").write_text(json.dumps(listing))
    command = [sys.executable, "-m", "benchmarks.fast_hub", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def _file(folder: Path, name: str, data: bytes) -> dict[str, object]:
    (folder / name).write_bytes(data)
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return {"type": "file", "path": name, "size": len(data), "oid": oid}


def _shard(path: Path, number: int) -> dict[str, object]:
    """A file of one tensor of random bytes."""
    header = json.dumps(
        {f"t{number}": {"dtype": "U8", "shape": [SHARD], "data_offsets": [0, SHARD]}}
    ).encode()
    header += b" " * (-len(header) % 8)
    sha256 = hashlib.sha256()
    with path.open("wb") as file:
        chunks = (os.urandom(1 << 20) for _ in range(SHARD >> 20))
        for data in chain((len(header).to_bytes(8, "little"), header), chunks):
            sha256.update(data)
            file.write(data)
    size = path.stat().st_size
    lfs = {"oid": sha256.hexdigest(), "size": size, "pointerSize": 134}
    return {"type": "file", "path": path.name, "size": size, "oid": "f" * 40, "lfs": lfs}


def _run(program: str, endpoint: str, folder: Path) -> Cost:
    target = folder / "fetched"
    cost = cost_of([sys.executable, "-c", program, endpoint, str(target), REPO, COMMIT])
    shutil.rmtree(target)
    return cost


if __name__ == "__main__":
    main()
