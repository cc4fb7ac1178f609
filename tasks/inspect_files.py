"""What downloaded files hold: whether a loader can be led astray, and whether the weights are numbers.

Reads the disk, and JSON and numbers alone; nothing of the model is loaded or run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from registry.admission import is_configuration, is_weights, may_ask_for_code, refuse_custom_code
from registry.errors import Refused
from registry.safetensors import Header, read_header
from registry.strict_json import read_strictly
from registry.weight_index import (
    refuse_missing_shards,
    refuse_twice,
    refuse_unnamed_shards,
    refuse_wrong_shards,
    shards_of,
)
from tasks.disk import in_words
from tasks.tensor_sample import refuse_no_numbers

_INDEX = "*.safetensors.index.json"
_TOKENIZER = "tokenizer.json"
_LARGEST_CONFIGURATION = 16 << 20  # bytes; a real one has a few thousand
_LARGEST_JSON = 128 << 20  # bytes; tokenizers and indexes of the largest models have 40 million


def inspect(folder: Path, paths: Collection[str], where: str) -> None:
    """Look into these files of a folder; weights are compared with the indexes of shards that lie there.

    Raises Refused for the first that is not what its name says, asks for code, or has numbers that are none.
    """
    for path in sorted(paths):
        if path.endswith(".json"):
            with _refusing(path, where, "is not readable as JSON"):
                value = _read_json(folder, path)
            refuse_custom_code(path, value if may_ask_for_code(path) else None, where)
    shards = {path: _look_at_weights(folder, path, where) for path in sorted(filter(is_weights, paths))}
    if shards:
        _compare_with_indexes(folder, shards, where)


def _read_json(folder: Path, path: str) -> Any:
    largest = _LARGEST_CONFIGURATION if is_configuration(path) else _LARGEST_JSON
    size = _regular(folder / path).stat().st_size
    if size > largest:
        raise ValueError(f"it has {in_words(size)}, and at most {in_words(largest)} are read")
    value = read_strictly((folder / path).read_bytes())
    if (is_configuration(path) or path == _TOKENIZER) and not isinstance(value, Mapping):
        raise ValueError("it is not a JSON object")
    return value


def _look_at_weights(folder: Path, path: str, where: str) -> Header:
    target = folder / path
    with _refusing(path, where, "is not a sound safetensors file"), _regular(target).open("rb") as file:
        header = read_header(file, target.stat().st_size)
        if not header.tensors:
            raise ValueError("it holds no tensor")
    with _refusing(path, where, "has numbers that are none"), target.open("rb") as file:
        refuse_no_numbers(file, header, seed=path)
    return header


def compare_names(folder: Path, weights: Collection[str], where: str) -> dict[str, str]:
    """In which of these shards each tensor is, by the indexes in the folder; empty where there is none.

    Needs no weights. Raises Refused for an index that names others, or not all, and where none is there for
    weights whose own names tell that some are missing.
    """
    named: dict[str, str] = {}
    indexes = _indexes(folder)
    for index in indexes:
        with _refusing(index, where, "does not fit the weights"):
            named |= shards_of(_read_json(folder, index), weights)
    if indexes:
        with _refusing(" and ".join(indexes), where, "does not fit the weights"):
            refuse_unnamed_shards(named, weights)
    else:
        with _refusing(min(weights), where, "is not a whole model"):
            refuse_missing_shards(weights)
    return named


def _compare_with_indexes(folder: Path, shards: Mapping[str, Header], where: str) -> None:
    tensors = {path: header.tensors for path, header in shards.items()}
    with _refusing("a tensor", where, "is there twice"):
        refuse_twice(tensors)
    if named := compare_names(folder, shards, where):
        with _refusing(" and ".join(_indexes(folder)), where, "does not fit the weights"):
            refuse_wrong_shards(named, tensors)


def _indexes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(_INDEX))


def _regular(path: Path) -> Path:
    if path.is_symlink() or not path.is_file():
        raise ValueError("it is a link or no regular file, and only regular files are read")
    return path


@contextmanager
def _refusing(path: str, where: str, what: str) -> Iterator[None]:
    """What is wrong with a file, as the refusal of its model."""
    try:
        yield
    except ValueError as error:
        raise Refused(
            f"{path} of {where} {what}",
            why=str(error),
            next_step="choose another revision or another repository, or tell its authors",
        ) from None
