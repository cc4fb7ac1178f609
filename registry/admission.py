"""Which files of a model repository may enter, by name and by what its configuration asks for. Pure.

The rule is an allow-list: weights as safetensors, JSON, tokenizers, chat templates. Pickles can run
code when loaded, so they are never taken, and a repository whose configuration needs code of its own
is refused. Whether a file's content is what the hub promised is checked where it is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from registry.errors import Refused

CONFIG = "config.json"
_WEIGHTS = "*.safetensors"
_TAKEN = (_WEIGHTS, "*.json", "*.jinja", "tokenizer.model", "*.tiktoken", "vocab.txt", "merges.txt")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.pickle", "*.joblib")
_CODE = ("*.py", "*.so", "*.sh")
# Keys by which a configuration makes a loader import Python from the repository.
_CODE_KEYS = ("auto_map", "custom_pipelines")


@dataclass(frozen=True)
class Skipped:
    """A file that is not taken, and why, in words."""

    path: str
    reason: str


@dataclass(frozen=True)
class Admission:
    """The sorted paths to take, and what is left behind."""

    taken: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def admit(paths: Iterable[str], where: str) -> Admission:
    """Sort a repository's paths into taken and skipped; ``where`` names the repository in errors.

    Raises Refused for a path that leaves its folder, and when there are no safetensors or no config.json.
    """
    taken: list[str] = []
    skipped: list[Skipped] = []
    for path in sorted(paths):
        _refuse_escape(path, where)
        if reason := _reason_to_skip(path):
            skipped.append(Skipped(path, reason))
        else:
            taken.append(path)
    _refuse_incomplete(taken, skipped, where)
    return Admission(tuple(taken), tuple(skipped))


def is_configuration(path: str) -> bool:
    """Whether the file is one in which a loader looks for custom code: ``refuse_custom_code`` must see it."""
    return fnmatchcase(path, "*config.json")


def refuse_custom_code(path: str, value: Any, where: str) -> None:
    """Raises Refused when a parsed configuration file is no mapping, or asks for code of the repository."""
    if not isinstance(value, Mapping):
        raise Refused(f"{path} of {where} is not a JSON object", next_step="choose another repository")
    for key, wanted in _code_keys(value, ""):
        raise Refused(
            f"{where} needs its own Python code to be loaded",
            why=f"{path} has {key} = {wanted!r}, which makes a loader import and run files of the repository",
            next_step="choose a model that transformers and vLLM support by themselves",
        )


def _code_keys(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    children = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, child in children:
        name = f"{prefix}.{key}" if prefix else str(key)
        if key in _CODE_KEYS and child:
            yield name, child
        elif isinstance(child, Mapping | list):
            yield from _code_keys(child, name)


def _refuse_escape(path: str, where: str) -> None:
    parts = path.split("/")
    if not path.isprintable() or "\\" in path or any(part in {"", ".", ".."} for part in parts):
        raise Refused(
            f"{where} lists the file {path!r}",
            why="that is not a plain relative path; written to disk it could land outside the model's folder",
            next_step="do not use this repository, and tell its hub",
        )


def _reason_to_skip(path: str) -> str:
    """Why the file is not taken; empty when it is."""
    if "/" in path:
        return "in a subfolder; servers load the top folder"
    if path.startswith("."):
        return "hidden"
    if any(fnmatchcase(path, pattern) for pattern in _TAKEN):
        return ""
    lower = path.lower()
    if any(fnmatchcase(lower, pattern) for pattern in _PICKLES):
        return "pickled weights can run code when loaded"
    if any(fnmatchcase(lower, pattern) for pattern in _CODE):
        return "code"
    return "no weights, configuration or tokenizer"


def _refuse_incomplete(taken: list[str], skipped: list[Skipped], where: str) -> None:
    if not any(fnmatchcase(path, _WEIGHTS) for path in taken):
        others = [s.path for s in skipped if s.path.endswith((".safetensors", *(p[1:] for p in _PICKLES)))]
        found = f"; what it has is {', '.join(others[:5])}" if others else ""
        raise Refused(
            f"{where} has no safetensors in its top folder{found}",
            why="other weight formats can run code when loaded, so they are never taken",
            next_step="choose a repository, or a revision, with *.safetensors, or convert the weights",
        )
    if CONFIG not in taken:
        raise Refused(
            f"{where} has no {CONFIG}",
            why="without it no server knows the model's architecture",
            next_step="choose a repository that holds a whole model, not an adapter or a part",
        )
