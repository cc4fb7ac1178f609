"""What is known of a model's files without loading them: headers, configuration, digests, samples. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from eval_suites.tensor_values import Sample
from registry.digest import Digest
from registry.safetensors import Tensor

_MISSING = object()
_HEADS = (".lm_head.weight", ".embed_out.weight")
_LAYER_NUMBER = re.compile(r"\.layers\.(\d+)\.")
_LONGEST = 60  # characters of a value in a sentence


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """A model folder. ``files`` are digests by name of all but the weights, their index and config.json.

    ``json`` are parsed files among them, ``samples`` of numbers, by tensor name. Modes are none of its
    business: the blob store makes every file readable by all, and hands out nothing else.
    """

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    files: Mapping[str, Digest] = field(default_factory=dict)
    json: Mapping[str, Any] = field(default_factory=dict)
    samples: Mapping[str, Sample] = field(default_factory=dict)


def is_spare(name: str, config: Mapping[str, Any]) -> bool:
    """Whether a tensor or layer is of a part beyond the model's layers, to predict several tokens at once.

    transformers does not load those parts, so quantizers leave them out; servers do without unless asked.
    """
    layers = (config.get("text_config") or config).get("num_hidden_layers")
    number = _LAYER_NUMBER.search(f"{name}.")
    return name.startswith("mtp.") or bool(layers and number and int(number[1]) >= layers)


def is_tied_head(name: str, config: Mapping[str, Any]) -> bool:
    """Whether a tensor is a head that servers take from the embeddings, so that it may be stored or not.

    Where config.json says nothing, the model's class decides, and most tie: a head that is missed after all
    is missed when the model is loaded.
    """
    key, sections = "tie_word_embeddings", (config, config.get("text_config") or {})
    said = [section[key] for section in sections if key in section]
    return f".{name}".endswith(_HEADS) and (any(said) or not said)


def differences(before: Any, after: Any, name: str = "") -> Iterator[str]:
    """A sentence for each key whose value differs, by its dotted name; lists are compared whole."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        if before != after:
            yield f"{name or 'the whole'} was {_shown(before)} and is {_shown(after)}"
        return
    for key in sorted({*before, *after}):
        inner = f"{name}.{key}" if name else str(key)
        old, new = before.get(key, _MISSING), after.get(key, _MISSING)
        if old is _MISSING:
            yield f"{inner} is new: {_shown(new)}"
        elif new is _MISSING:
            yield f"{inner} is gone: it was {_shown(old)}"
        else:
            yield from differences(old, new, inner)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
