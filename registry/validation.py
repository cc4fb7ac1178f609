"""Turns what a user wrote into values, or into one error that names each wrong key by its full path.

``read_yaml`` reads a YAML file as plain data (``plain_yaml``). ``explain`` words a pydantic ValidationError
for the person who wrote the file: one line per problem, with a did-you-mean.
Shared by suites and specs; what the keys mean is left to their models.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from registry.data_errors import worded
from registry.errors import UsageError
from registry.plain_yaml import load_plain
from registry.regular_file import read_regular
from registry.strict_json import shown

_LARGEST = 2**20  # bytes; what people write has some thousands
_AGAIN = "mend the file and run the same command again"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file of plain data; raises UsageError for anything else, naming the line."""
    try:
        value = load_plain(read_regular(path, _LARGEST).decode())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read", why=worded(error), next_step="give the path of a YAML file"
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is not plain YAML", why=_one_line(error), next_step=_AGAIN) from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds no keys", why="a mapping `key: value` is expected", next_step=_AGAIN)
    return value


def explain(error: ValidationError, model: type[BaseModel], where: str) -> UsageError:
    """One UsageError for all problems pydantic found in ``where`` (a file or form), one line each."""
    lines = list(dict.fromkeys(_line(problem, model) for problem in _problems(error)))
    body = f" {lines[0]}" if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)
    return UsageError(f"{where} is not valid:{body}", next_step=_AGAIN)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the closest known word, else the list of known words."""
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"


def _one_line(error: Exception) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or not error.problem_mark:
        return " ".join(worded(error).split())
    mark = error.problem_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"


def _problems(error: ValidationError) -> list[ErrorDetails]:
    """All but a list that is called too short because what is in it is wrong, which is said already."""
    found = error.errors(include_url=False)
    above = {problem["loc"][:depth] for problem in found for depth in range(len(problem["loc"]))}
    return [problem for problem in found if problem["type"] != "too_short" or problem["loc"] not in above]


def _line(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    steps = list(_steps(problem["loc"], model))
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step, _ in steps).lstrip(".")
    parent = steps[-1][1] if steps else None
    return f"{path}: {_sentence(problem, parent)}" if path else _sentence(problem, parent)


def _sentence(problem: Mapping[str, Any], parent: type[BaseModel] | None) -> str:
    match problem["type"]:
        case "extra_forbidden":
            return f"unknown key; {did_you_mean(str(problem['loc'][-1]), _keys(parent))}"
        case "missing":
            return "is required"
        case "value_error":
            return str(problem["ctx"]["error"])
        case "literal_error" | "enum":
            expected = problem["ctx"]["expected"]
            return f"must be {expected}, not {shown(problem['input'])}{_closest(problem['input'], expected)}"
        case "tuple_type" | "list_type" | "set_type" | "frozen_set_type":
            return f"must be a list, not {shown(problem['input'])}"
    message = str(problem["msg"])
    return f"{message[:1].lower()}{message[1:]}, not {shown(problem['input'])}"


def _closest(value: object, expected: str) -> str:
    close = difflib.get_close_matches(str(value).lower(), re.findall(r"'([^']*)'", expected), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _steps(
    loc: Sequence[str | int], model: type[BaseModel]
) -> Iterator[tuple[str | int, type[BaseModel] | None]]:
    """The parts of a location a user wrote, each with the model it is a key of.

    pydantic also puts the chosen member of a union into the location; that part is not in the file.
    """
    here: Any = model
    for part in loc:
        member = _union_member(here, part)
        if member is not None:
            here = member
            continue
        here = _unwrap(here)
        owner = here if isinstance(here, type) and issubclass(here, BaseModel) else None
        yield part, owner
        here = _field_type(owner, part) if owner else (get_args(here) or (None,))[_value_argument(here)]


def _unwrap(annotation: Any) -> Any:
    """The annotation without Annotated and without ``| None``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _unwrap(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        members = [arg for arg in get_args(annotation) if arg is not type(None)]
        return _unwrap(members[0]) if len(members) == 1 else annotation
    return annotation


def _union_member(annotation: Any, part: str | int) -> Any:
    annotation = _unwrap(annotation)
    if get_origin(annotation) not in (Union, types.UnionType):
        return None
    members = [_unwrap(arg) for arg in get_args(annotation)]
    return next((member for member in members if part in _labels(member)), Any)


def _labels(member: Any) -> set[str]:
    """How pydantic may call a union's member: its class name, or a value of its discriminator."""
    if not (isinstance(member, type) and issubclass(member, BaseModel)):
        return set()
    fields = (_unwrap(field.annotation) for field in member.model_fields.values())
    literals = (str(value) for field in fields if get_origin(field) is Literal for value in get_args(field))
    return {member.__name__, *literals}


def _field_type(model: type[BaseModel], part: str | int) -> Any:
    return next((f.annotation for name, f in model.model_fields.items() if part in (f.alias, name)), None)


def _value_argument(annotation: Any) -> int:
    return -1 if get_origin(annotation) in (dict, Mapping) else 0
