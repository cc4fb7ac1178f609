"""What items of a suite looked like and what was answered, kept beside reports for people to read.

A file per look, by its content, in the home's cache: whoever reads a page wants it, and no judge does.
Garbage collection takes what was not read for as long as it keeps logs.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from eval_suites.report import EvalReport
from eval_suites.texts import ItemText, Place, read_texts
from registry.atomic import write_file
from registry.blobs import touch
from registry.digest import Digest
from registry.home import Home


def keep_texts(home: Home, path: Path) -> Digest:
    """Take in the texts of a look, which the engine has written; the file itself goes."""
    data = path.read_bytes()
    digest = Digest.of_bytes(data)
    write_file(home.texts / digest.hex, data)
    path.unlink()
    return digest


def texts_of(home: Home, report: EvalReport, wanted: Collection[Place]) -> dict[Place, ItemText]:
    """The texts of these items, as far as they are kept."""
    found: dict[Place, ItemText] = {}
    for digest in report.texts if wanted else ():
        try:
            data = (home.texts / digest.hex).read_bytes()
            touch(home.texts / digest.hex)
        except OSError:
            continue  # collected, or on a disk that gives nothing: the page says so
        found |= read_texts(data, wanted)
    return found
