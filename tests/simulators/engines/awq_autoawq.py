# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Stands in for the quantizer: the same request and result, a copy of the source for weights.

The source's config.json may hold ``simulate``: ``quantize_seconds`` to take, and ``lost`` accuracy.
"""

from __future__ import annotations

import json
import shutil
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
    simulate["accuracy"] = simulate.get("accuracy", 0.95) - simulate.get("lost", 0.0)
    config |= {"simulate": simulate, "quantization_config": {"group_size": request["group_size"]}}
    (output / "config.json").write_text(json.dumps(config, sort_keys=True))
    result = {"ok": True, "versions": {"simulated-awq": "1"}, "seconds": 0.0, "samples_used": 1}
    Path(sys.argv[2]).write_text(json.dumps(result))


main()
