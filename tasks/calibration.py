"""Calibration texts: a file of this machine, or one of a dataset on a hub at one commit."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from registry.errors import UsageError
from registry.manifest import Manifest
from registry.strict_json import BEGINS_WITH_BOM, BOM
from tasks.hub_source import HubSource
from tasks.hub_token import hub_token
from tasks.progress import progress_of
from tasks.transfer import Transfer
from tasks.workplace import Workplace

_ON_HUB = re.compile(r"(hf://datasets/[\w.-]+/[\w.-]+)@([0-9a-f]{40})/(.+\.jsonl)")


def calibration_file(place: Workplace, where: str, samples: int, token_secret: str | None) -> Path:
    """The JSONL file a recipe names, on this disk, with texts for so many samples.

    Raises UsageError or InfrastructureError.
    """
    check_calibration(where, samples)
    if not where.startswith("hf://"):
        return Path(where)
    path = _from_hub(place, where, token_secret)
    _check_texts(path, where, samples)
    return path


def check_calibration(where: str, samples: int) -> None:
    """Raises UsageError for a file of this disk without so many texts, or an address that pins no file."""
    if where.startswith("hf://"):
        _parts(where)
    else:
        _check_texts(Path(where), where, samples)


def _check_texts(path: Path, where: str, samples: int) -> None:
    count = sum(bool(text.strip()) for text in _texts(path, where))  # engines leave out the empty ones
    if count < samples:
        raise UsageError(
            f"the calibration texts {where} are too few",
            why=f"the recipe uses {samples} samples, and {count} texts are there",
            next_step=f"set samples, under quantize or in its fallback, to {count} or less, or add texts"
            if count
            else 'write lines of {"text": ...} into it',
        )


def _texts(path: Path, where: str) -> Iterator[str]:
    """Each line's text, as an engine will read it."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _text(line, f"line {number}", where)
    except UnicodeDecodeError as error:
        raise _no_texts(where, f"it is not UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise _no_texts(where, error.strerror or str(error)) from error


def _text(line: str, which: str, where: str) -> str:
    if line.startswith(BOM):
        raise _no_texts(where, BEGINS_WITH_BOM)
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise _no_texts(where, f'{which} is no object with a "text": {line.strip()[:60]}')
    return str(value["text"])


def _no_texts(where: str, why: str) -> UsageError:
    return UsageError(
        f"the calibration texts {where} cannot be read",
        why=why,
        next_step='name a JSONL file of {"text": ...} lines under quantize.calibration',
    )


def _parts(where: str) -> tuple[str, str, str]:
    match = _ON_HUB.fullmatch(where)
    if not match:
        raise UsageError(
            f"{where!r} is not an address of calibration texts",
            why="a dataset's file is named with its commit, so that it stays the same texts",
            next_step="write hf://datasets/ORG/NAME@COMMIT/FILE.jsonl, COMMIT with all its 40 digits",
        )
    return match[1], match[2], match[3]


def _from_hub(place: Workplace, where: str, token_secret: str | None) -> Path:
    uri, commit, path = _parts(where)
    inputs = {"uri": uri, "commit": commit, "path": path}
    kept = place.staged("calibration", inputs, lambda: _download(place, uri, commit, path, token_secret))
    return place.blobs.path(Manifest.from_json(kept["manifest"]).files[path].digest)


def _download(
    place: Workplace, uri: str, commit: str, path: str, token_secret: str | None
) -> dict[str, object]:
    progress = progress_of("calibration")
    source = HubSource(uri, endpoint=os.environ.get("HF_ENDPOINT"), token=hub_token(os.environ, token_secret))
    listing = source.resolve(commit, progress)
    file = next((file for file in listing.files if file.path == path), None)
    if file is None:
        why = f"it has {', '.join(f.path for f in listing.files[:5])}" if listing.files else "it is empty"
        raise UsageError(f"{listing.where} has no file {path}", why=why, next_step="correct the file's name")
    folder = place.run.directory / "calibration"
    with Transfer(source, listing, folder, place.blobs, file.size, progress, at_once=True) as transfer:
        entries = transfer.take([file])
    progress(f"{listing.where}: {path}", 1.0)
    return {"manifest": Manifest(entries).to_json()}
