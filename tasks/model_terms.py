"""What a model says beside its weights: under which licence it is, and how it wants to be talked to."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.admission import CARD, CONFIG, is_licence
from registry.digest import Digest
from registry.licence import licence_of
from registry.strict_json import read_strictly

LARGEST_CARD = 1 << 20
"""Bytes of a README.md that is read for the licence; a larger one names none."""
_TOKENIZER_CONFIG = "tokenizer_config.json"
# Where loaders look for a chat template; what comes first counts.
_TEMPLATE, _TEMPLATE_JSON, _KEY = "chat_template.jinja", "chat_template.json", "chat_template"


@dataclass(frozen=True)
class Terms:
    """A model's licence as it names it, the texts that go with it, and its chat template, by digest.

    The template's digest is that of its text, in whichever file it is; None where there is none.
    """

    licence: str | None
    licence_files: Mapping[str, Digest]
    chat_template: Digest | None

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        files = {path: str(digest) for path, digest in self.licence_files.items()}
        template = str(self.chat_template) if self.chat_template else None
        return {"licence": self.licence, "licence_files": files, "chat_template": template}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Terms:
        """Read a mapping written by ``to_json``; raises KeyError, TypeError or ValueError otherwise."""
        files = {path: Digest.parse(text) for path, text in value["licence_files"].items()}
        template = value["chat_template"]
        return cls(value["licence"], files, Digest.parse(template) if template else None)


def read_terms(folder: Path, paths: Collection[str]) -> Terms:
    """The terms of inspected files in a folder; its README.md need not be among ``paths``. Raises OSError."""
    licences = {path: Digest.of_file(folder / path) for path in sorted(filter(is_licence, paths))}
    return Terms(licence_of(_card(folder), _object(folder / CONFIG)), licences, _chat_template(folder))


def _card(folder: Path) -> str:
    path = folder / CARD
    if not path.is_file() or path.is_symlink():
        return ""
    with path.open("rb") as file:
        return file.read(LARGEST_CARD).decode(errors="replace")


def _chat_template(folder: Path) -> Digest | None:
    if (folder / _TEMPLATE).is_file():
        return Digest.of_file(folder / _TEMPLATE)
    for name in (_TEMPLATE_JSON, _TOKENIZER_CONFIG):
        template = _object(folder / name).get(_KEY)
        if isinstance(template, str):
            return Digest.of_bytes(template.encode())
        if template:  # several, each with a name
            return Digest.of_bytes(json.dumps(template, sort_keys=True).encode())
    return None


def _object(path: Path) -> Mapping[str, Any]:
    value = read_strictly(path.read_bytes()) if path.is_file() else {}
    return value if isinstance(value, Mapping) else {}
