"""Which files of a dataset repository one configuration needs, by the YAML at the head of its card. Pure.

The format is the hub's: ``configs`` names for each configuration the files of each split, by patterns;
``dataset_info`` describes their columns. A reader wants all files that the card names, so ``card_of_one``
writes one that names those of one configuration alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import yaml

from registry.errors import UsageError

CARD = "README.md"
_HEAD = re.compile(r"\A---\s*\n(.*?\n)---\s*(?:\n|\Z)", re.DOTALL)
_DATA = re.compile(r"\.(parquet|jsonl?|csv|tsv|arrow|txt)(\.(gz|bz2|xz|zst))?$|\.zip$")


def head_of(card: str) -> Mapping[str, Any]:
    """The mapping at the head of a card; empty where there is none, or none that is plain YAML."""
    found = _HEAD.match(card)
    try:
        head = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return {}
    return head if isinstance(head, dict) else {}


def files_of(head: Mapping[str, Any], config: str | None, paths: Iterable[str], where: str) -> list[str]:
    """The data files of a configuration; without ``configs`` in the card, all there are.

    Raises UsageError when there is no such configuration, or there are no such files.
    """
    patterns = _patterns(_config(head, config, where))
    chosen = [
        path
        for path in paths
        if (any(fnmatchcase(path, pattern) for pattern in patterns) if patterns else _DATA.search(path))
    ]
    if not chosen:
        raise UsageError(
            f"{where} has no data files" + (f" of the configuration {config}" if config else ""),
            why="only files are read; a loading script would be code",
            next_step="pin a commit with data files: those of the branch refs/convert/parquet have them",
        )
    return chosen


def card_of_one(head: Mapping[str, Any], config: str | None, where: str) -> str:
    """A card that names this configuration alone, as the only one; raises UsageError when there is none."""
    chosen = _config(head, config, where)
    infos = head.get("dataset_info")
    if several := _many(infos):
        infos = [info for info in several if info.get("config_name") == chosen.get("config_name")]
    said = {"configs": [chosen] if chosen else None, "dataset_info": infos}
    kept = {key: value for key, value in said.items() if value}
    return f"---\n{yaml.safe_dump(kept, sort_keys=False)}---\n" if kept else ""


def _config(head: Mapping[str, Any], name: str | None, where: str) -> Mapping[str, Any]:
    """The configuration of this name, else the default one; empty where the card has none at all."""
    configs = _many(head.get("configs"))
    if not configs:
        return {}
    named = {str(config.get("config_name", "default")): config for config in configs}
    default = next((each for each in configs if each.get("default")), named.get("default"))
    found = named.get(name) if name else default or (configs[0] if len(configs) == 1 else None)
    if found is None:
        raise UsageError(
            f"{where} has no configuration {name or 'that is the default'}",
            why=f"it has {', '.join(named)}",
            next_step="pin a commit that fits the task of this lm-eval",
        )
    return found


def _many(value: object) -> list[Mapping[str, Any]]:
    """The mappings of a list; nothing for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _patterns(config: Mapping[str, Any]) -> list[str]:
    folder = str(config.get("data_dir") or "").strip("/")
    patterns = list(_texts(config.get("data_files")))
    if not patterns:
        return [f"{folder}/*"] if folder else []
    return [f"{folder}/{pattern}" if folder else pattern for pattern in patterns]


def _texts(value: object) -> Iterator[str]:
    """``data_files`` is a pattern, a list of them, or a list of splits, each with one or several."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each.get("path") if isinstance(each, dict) else each)
