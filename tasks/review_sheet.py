"""The sheet of answers that people have to judge, in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.atomic import write_file
from tasks.workplace import Workplace


def sheet_path(place: Workplace) -> Path:
    """Where the sheet of a run lies, if there is one."""
    return place.run.directory / "review.jsonl"


def ask_people(place: Workplace, sheet: Sequence[Mapping[str, Any]], named: str | None, in_vain: int) -> str:
    """Write these lines as ``review.jsonl``; returns what to do with them, as a sentence.

    ``named`` is the file of reviews that the spec names, ``in_vain`` how many answers in it no model gave.
    Raises InfrastructureError when the disk refuses.
    """
    path = sheet_path(place)
    write_file(path, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in sheet).encode())
    unused = f"none of the {in_vain} answers in evaluate.reviews is the candidate's or a baseline's; "
    use = f"append its lines to {named}" if named else "name the file as evaluate.reviews"
    return (
        f"{unused if in_vain else ''}fill in each null of {path}, {use}, and run the same command again:"
        " no model is asked twice"
    )
