# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Stands in for vLLM: becomes the simulated engine, with the faults that the model's config names.

``simulate`` may hold ``serve``, and for what only quantized weights do ``serve_quantized``, and
``serve_groups``, by their size.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

ENGINE = Path(__file__).resolve().parent.parent / "engine.py"


def main() -> None:
    # An upgrade is a file beside this one: other content, and what it costs in accuracy. The interpreter of
    # before knows nothing of it.
    upgrade = Path(__file__).resolve().parent / "upgrade.json"
    upgraded = upgrade.exists() and "BEFORE_UPGRADE" not in os.environ
    if "--describe" in sys.argv:
        installed = upgrade.read_bytes() if upgraded else b"simulated"
        content = "sha256:" + hashlib.sha256(installed).hexdigest()
        print(json.dumps({"name": "simulated", "version": "1", "content": content}))
        return
    request = json.loads(Path(sys.argv[1]).read_text())
    config = json.loads((Path(request["model_dir"]) / "config.json").read_text())
    simulate = config.get("simulate", {})
    knobs = ["--name", "upgraded" if upgraded else "engine", *simulate.get("serve", [])]
    if "quantization_config" in config:
        knobs += simulate.get("serve_quantized", [])
        groups = str(config["quantization_config"]["group_size"])
        knobs += simulate.get("serve_groups", {}).get(groups, [])
    port = sys.argv[sys.argv.index("--port") + 1]
    os.execv(sys.executable, [sys.executable, str(ENGINE), "--port", port, *map(str, knobs)])


main()
