"""The sheet of answers that people have to judge, in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from registry.atomic import write_file
from tasks.workplace import Workplace


def ask_people(place: Workplace, sheet: Sequence[Mapping[str, Any]], in_vain: int) -> str:
    """Write these lines as ``review.jsonl``; returns what to do with them, as a sentence.

    ``in_vain`` is how many answers are judged that no model gave. Raises InfrastructureError when the disk
    refuses.
    """
    path = place.run.directory / "review.jsonl"
    write_file(path, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in sheet).encode())
    unused = f"none of the {in_vain} answers in evaluate.reviews is the candidate's or a baseline's; "
    return (
        f"{unused if in_vain else ''}fill in each null of {path}, append the file to the one that"
        " evaluate.reviews names, or name it there, and run the same command again: no model is asked twice"
    )
