# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Stands in for the quantizer: the same request and result, and weights packed as autoawq packs them.

The source's config.json may hold ``simulate``: ``quantize_seconds`` to take, and what it costs in accuracy.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import sys
import time
from pathlib import Path


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    source, output = Path(request["source_dir"]), Path(request["output_dir"])
    config = json.loads((source / "config.json").read_text())
    simulate = config.get("simulate", {})
    until = time.monotonic() + simulate.get("quantize_seconds", 0.0)
    while time.monotonic() < until:
        print(json.dumps({"progress": 0.5, "message": "searching scales"}), flush=True)
        time.sleep(0.1)
    shutil.copytree(source, output)
    groups = request["group_size"]
    data, names = _packed((source / "model.safetensors").read_bytes(), groups)
    (output / "model.safetensors").write_bytes(data)
    section = {"quant_method": "awq", "bits": 4, "group_size": groups, "version": "gemm", "zero_point": True}
    section["modules_to_not_convert"] = None
    (output / "config.json").write_text(json.dumps(config | {"quantization_config": section}))
    result = {
        "ok": True,
        "versions": {"simulated-awq": "1"},
        "seconds": 0.0,
        "samples_used": 1,
        "samples_digest": "sha256:" + hashlib.sha256(b"texts").hexdigest(),
        "device": {"kind": "cpu", "name": "simulated", "count": 1, "cuda": None},
        "peak_gpu_bytes": None,
        "layers": {"targets": len(names), "skipped_mappings": 0, "names": names},
    }
    Path(sys.argv[2]).write_text(json.dumps(result))


def _packed(data: bytes, groups: int) -> tuple[bytes, list[str]]:
    """Every matrix of the decoder's layers as qweight, qzeros and scales, the rest as it is; and names."""
    (length,) = struct.unpack("<Q", data[:8])
    body = data[8 + length :]
    tensors: dict[str, tuple[str, list[int], bytes]] = {}
    names = []
    for name, tensor in json.loads(data[8 : 8 + length]).items():
        begin, end = tensor["data_offsets"]
        if ".layers." in name and len(tensor["shape"]) == 2:
            rows, columns = tensor["shape"]
            layer = name.removesuffix(".weight")
            names.append(layer)
            weights = bytes(n % 251 for n in range(columns * rows // 2))
            tensors[f"{layer}.qweight"] = ("I32", [columns, rows // 8], weights)
            zeros = bytes([0x88]) * (columns // groups * rows // 2)
            tensors[f"{layer}.qzeros"] = ("I32", [columns // groups, rows // 8], zeros)
            scales = struct.pack("<e", 0.1) * (columns // groups * rows)
            tensors[f"{layer}.scales"] = ("F16", [columns // groups, rows], scales)
        else:
            tensors[name] = (tensor["dtype"], tensor["shape"], body[begin:end])
    header, end = {}, 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(content)]}
        end += len(content)
    text = json.dumps(header).encode()
    body = b"".join(content for _, _, content in tensors.values())
    return struct.pack("<Q", len(text)) + text + body, names


main()
