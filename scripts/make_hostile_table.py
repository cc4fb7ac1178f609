"""Writes ``docs/reference/hostile-repositories.md``: what each hostile repository gets to hear.

``PYTHONPATH=. python scripts/make_hostile_table.py`` fetches every case of ``hostile_cases``
from a hub on this machine, as the tests do.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from registry.errors import HeadgateError
from tasks.fetch import fetch
from tasks.workplace import open_workplace
from tests.simulators.hostile import URI, Case
from tests.simulators.hostile_cases import GROUPS
from tests.simulators.hub import HubSimulator

OUTPUT = Path(__file__).resolve().parent.parent / "docs" / "reference" / "hostile-repositories.md"
_PREFACE = """\
# Hostile repositories

Every row is a repository, or a hub, with one thing wrong. The tests fetch each of them, from a real hub over
HTTP with the code that releases use, and none may enter. The messages are the real ones; `N` stands for a
port, `HEX` for a commit or a checksum. What a message says next ("Next: ...") is left out.

| cases | accepted |
|---|---|
| {count} | 0 |

This page is written by `PYTHONPATH=. python scripts/make_hostile_table.py`.
"""


def heard(case: Case) -> str:
    """What the case gets to hear, without what changes from run to run."""
    with tempfile.TemporaryDirectory() as folder, HubSimulator() as hub:
        case.push(hub)
        os.environ |= {"HEADGATE_HOME": folder, "HF_ENDPOINT": hub.endpoint}
        try:
            with open_workplace() as place:
                fetch.fn(place, URI, "main")
        except HeadgateError as error:
            text = str(error).partition(" Next: ")[0]
        else:
            raise SystemExit(f"ACCEPTED: {case.name}")
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:N", text)
    text = re.sub(r"\b[0-9a-f]{40,64}\b|(?<=@)[0-9a-f]{12}\b", "HEX", text)
    return re.sub(r"([\\*_|<])", r"\\\1", text)  # what Markdown would take for its own


def main() -> None:
    """Write the page."""
    lines = [_PREFACE.format(count=sum(map(len, GROUPS.values())))]
    for title, cases in GROUPS.items():
        lines += [f"## {title}", "", "| what is wrong | the message |", "|---|---|"]
        lines += [f"| {case.name} | {heard(case)} |" for case in cases]
        lines.append("")
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
