"""The index of sharded weights: which shard it says holds which tensor, and whether that is so. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from registry.strict_json import shown

_SHARD = re.compile(r"(.+)-[0-9]{5}-of-([0-9]{5})\.safetensors")


def shards_of(index: Any, present: Collection[str]) -> dict[str, str]:
    """The shard of every tensor; raises ValueError for an index that names anything but shards present."""
    shards = index.get("weight_map") if isinstance(index, Mapping) else None
    if not isinstance(shards, Mapping) or not shards:
        raise ValueError("it has no weight_map that says in which shard a tensor is")
    for tensor, shard in shards.items():
        # A shard is compared with names that were admitted, so no path can lead outside.
        if not isinstance(shard, str) or shard not in present:
            raise ValueError(f"it says that {shown(tensor)} is in {shown(shard)}, which is no shard here")
    return dict(shards)


def refuse_unnamed_shards(shards: Mapping[str, str], present: Collection[str]) -> None:
    """Raises ValueError when the index says nothing of a shard that is present."""
    if unnamed := sorted(set(present) - set(shards.values())):
        raise ValueError(f"it names no tensor of {unnamed[0]}, which a server would load all the same")


def refuse_wrong_shards(shards: Mapping[str, str], tensors: Mapping[str, Collection[str]]) -> None:
    """Raises ValueError unless the index tells all, and the truth, about the tensors of its shards."""
    for tensor, shard in shards.items():
        if tensor not in tensors[shard]:
            raise ValueError(f"it says that {shown(tensor)} is in {shard}, and it is not")
    for shard, held in sorted(tensors.items()):
        if unnamed := sorted(set(held) - shards.keys()):
            raise ValueError(f"it does not name {shown(unnamed[0])}, which is in {shard}")


def refuse_twice(tensors: Mapping[str, Collection[str]]) -> None:
    """Raises ValueError when two shards hold a tensor of one name."""
    holders: dict[str, str] = {}
    for shard, held in tensors.items():
        for tensor in held:
            if (other := holders.setdefault(tensor, shard)) != shard:
                raise ValueError(
                    f"{shown(tensor)} is in {other} and in {shard}; each loader takes its own choice"
                )


def refuse_missing_shards(names: Collection[str]) -> None:
    """Raises ValueError when not all shards are there that a name tells of; an index tells it better."""
    for name in sorted(names):
        if numbered := _SHARD.fullmatch(name):
            stem, count = numbered[1], numbered[2]
            wanted = (f"{stem}-{number:05}-of-{count}.safetensors" for number in range(1, int(count) + 1))
            if missing := next((shard for shard in wanted if shard not in names), None):
                raise ValueError(f"it is one of {int(count)} shards, and {missing} is not there")
