"""Which files of a model repository may enter, by name and by what its configuration asks for. Pure.

The rule is an allow-list: weights as safetensors, JSON, tokenizers, chat templates, licences. Pickles can
run code when loaded, so they are never taken, and a repository whose configuration needs code of its own
is refused. Whether a file's content is what the hub promised is checked where it is downloaded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from registry.errors import Refused
from registry.file_names import alike, fault
from registry.strict_json import shown

CONFIG = "config.json"
CARD = "README.md"
RULES = 3
"""Counts up with every change of what may enter: what was let in by other rules is looked at again."""
_WEIGHTS = "*.safetensors"
_TAKEN = (_WEIGHTS, "*.json", "*.jinja", "tokenizer.model", "*.tiktoken", "vocab.txt", "merges.txt")
_LICENCE_FILE = re.compile(r"(licen[cs]e|notice|copying|use_policy)[\w-]*(\.txt|\.md)?", re.IGNORECASE)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.pickle", "*.joblib")
_OTHER_WEIGHTS = ("*.gguf", "*.h5", "*.msgpack", "*.onnx", "*.npz", "*.safetensors")
_CODE = ("*.py", "*.so", "*.sh")
# transformers loads the base model that an adapter names, wherever that is, instead of the one beside it.
_ADAPTER = "adapter_*"
_MISTRAL_OWN = "consolidated*.safetensors*"
# Vocabularies: their keys are words, and any word may be one.
_WORDS = ("tokenizer.json", "vocab.json", "added_tokens.json", "*.index.json")
# Keys by which a configuration makes a loader import Python from a repository.
_CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code")


_NOT_AS_IT_IS = "do not use this model as it is: have whoever keeps it rename or remove what is named"


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


def admit(paths: Iterable[str], where: str, *, links: Collection[str] = ()) -> Admission:
    """Sort a repository's paths into taken and skipped; ``where`` names the repository in errors.

    ``links`` are the paths that its source says are symbolic links. Raises Refused for any, for a name that
    is not plain or that another could be taken for, and when there are no safetensors or no config.json.
    """
    paths = sorted(paths)
    _refuse_names(paths, links, where)
    reasons = {path: _reason_to_skip(path) for path in paths}
    reasons |= dict.fromkeys(_superfluous(reasons), "the same weights in Mistral's own layout")
    taken = tuple(path for path, reason in reasons.items() if not reason)
    skipped = tuple(Skipped(path, reason) for path, reason in reasons.items() if reason)
    _refuse_collisions(taken, paths, where)
    _refuse_incomplete(taken, skipped, where)
    return Admission(taken, skipped)


def is_weights(path: str) -> bool:
    """Whether the file holds tensors."""
    return fnmatchcase(path, _WEIGHTS)


def is_licence(path: str) -> bool:
    """Whether the file is the text of a licence, or of what goes with one."""
    return bool(_LICENCE_FILE.fullmatch(path))


def is_configuration(path: str) -> bool:
    """Whether the file is one by which a loader is steered: it must hold an object, of modest size."""
    return fnmatchcase(path, "*config.json")


def may_ask_for_code(path: str) -> bool:
    """Whether ``refuse_custom_code`` must see the file: all JSON but vocabularies, whose keys are words."""
    return path.endswith(".json") and not any(fnmatchcase(path, pattern) for pattern in _WORDS)


def refuse_custom_code(path: str, value: Any, where: str) -> None:
    """Raises Refused when a parsed JSON file asks for code of a repository, at whatever depth."""
    for key, wanted in _code_keys(value, ""):
        raise Refused(
            f"{where} needs its own Python code to be loaded",
            why=f"{path} has {key} = {shown(wanted)}, which makes a loader run files of a repository",
            next_step="choose a model that transformers and vLLM support by themselves",
        )


def _code_keys(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping | list):
        return
    for key, child in value.items() if isinstance(value, Mapping) else enumerate(value):
        name = f"{prefix}.{key}" if prefix else str(key)
        if _is_code(key, child):
            yield name, child
        else:
            yield from _code_keys(child, name)


def _is_code(key: str | int, value: Any) -> bool:
    if key in _CODE_KEYS:
        return bool(value)
    # transformers downloads and imports an attention kernel that is called like a repository.
    return "attn_implementation" in str(key) and "/" in str(value)


def _refuse_names(paths: list[str], links: Collection[str], where: str) -> None:
    for path in (*paths, *links):
        if why := fault(path):
            raise _bad_names(where, f"the file {shown(path, 80)}", why)
    if links:
        raise Refused(
            f"{where} has a symbolic link, {min(links)}",
            why="a link can point at any file of the machine that reads it, so none is followed",
            next_step="put the file itself in its place (cp -L), or choose another repository",
        )
    if twice := [path for path, count in Counter(paths).items() if count > 1]:
        raise _bad_names(where, f"{twice[0]} twice", "which of the two is meant, nobody can know")


def _refuse_collisions(taken: tuple[str, ...], paths: Iterable[str], where: str) -> None:
    wanted = {alike(path): path for path in reversed(taken)}
    for path in paths:
        other = wanted.get(alike(path), path)
        if other != path:
            why = "on some disks the one would overwrite the other, and people cannot tell them apart"
            raise _bad_names(where, f"both {other!a} and {path!a}", f"their names collide: {why}")
        if "/" in path and (file := wanted.get(alike(path.partition("/")[0]))):
            raise _bad_names(where, f"{file} and {path}", "the one cannot be a file and a folder")


def _bad_names(where: str, what: str, why: str) -> Refused:
    return Refused(f"{where} lists {what}", why=why, next_step=_NOT_AS_IT_IS)


def _reason_to_skip(path: str) -> str:
    """Why the file is not taken; empty when it is."""
    if "/" in path:
        return "in a subfolder; servers load the top folder"
    if path.startswith("."):
        return "hidden"
    if fnmatchcase(path, _ADAPTER):
        return "part of an adapter"
    if is_licence(path) or any(fnmatchcase(path, pattern) for pattern in _TAKEN):
        return ""
    if path == CARD:
        return "read for the licence it names, not kept"
    lower = path.lower()
    if any(fnmatchcase(lower, pattern) for pattern in _PICKLES):
        return "pickled weights can run code when loaded"
    if any(fnmatchcase(lower, pattern) for pattern in _CODE):
        return "code"
    if any(fnmatchcase(lower, pattern) for pattern in _OTHER_WEIGHTS):
        return "weights in another format"
    return "no weights, configuration or tokenizer"


def _superfluous(reasons: Mapping[str, str]) -> list[str]:
    """Weights, and their index, that are there a second time as Mistral's own tools want them."""
    own = [path for path in reasons if fnmatchcase(path, _MISTRAL_OWN)]
    others = [path for path, reason in reasons.items() if not reason and is_weights(path) and path not in own]
    return own if others else []


def _refuse_incomplete(taken: tuple[str, ...], skipped: tuple[Skipped, ...], where: str) -> None:
    if not any(map(is_weights, taken)):
        endings = tuple(pattern[1:] for pattern in (*_OTHER_WEIGHTS, *_PICKLES))
        others = [f"{s.path} ({s.reason})" for s in skipped if s.path.lower().endswith(endings)]
        found = f"; what it has is {', '.join(others[:5])}" if others else ""
        raise Refused(
            f"{where} has no safetensors of a whole model in its top folder{found}",
            why="only safetensors are taken as weights: formats made of pickles can run code when loaded",
            next_step="choose a repository, or a revision, with *.safetensors, or convert the "
            "weights where they can do no harm",
        )
    if CONFIG not in taken:
        raise Refused(
            f"{where} has no {CONFIG}",
            why="without it no server knows the model's architecture",
            next_step="choose a repository that holds a whole model, not an adapter or a part",
        )
