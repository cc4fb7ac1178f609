"""What config.json says of a model's size, in the words of its family. Pure.

The names are those that vLLM 0.32 (``transformers_utils/model_arch_config_convertor.py``) and the classes of
transformers (their ``attribute_map``) read: Llama's and its followers', GPT-2's, BigCode's, BLOOM's, MPT's
and Falcon's; of multimodal models the section ``text_config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NAMES: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd", "n_embed", "d_model"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
}
_INNER = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
_KEY_VALUE_HEADS = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "kv_n_heads")
_WINDOWS = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}
_STATES = frozenset({"linear_attention", "mamba", "conv", "moe"})  # of fixed size, or none


class Untold(ValueError):
    """``keys`` of config.json without which a model's size is not known."""

    def __init__(self, keys: list[str]) -> None:
        super().__init__(", ".join(keys))
        self.keys = keys


@dataclass(frozen=True)
class Shape:
    """Sizes of a model in numbers, not bytes.

    With latent attention a layer keeps ``latent`` numbers per token, in place of those of its heads.
    ``windows`` has for each layer how many tokens it keeps; None is all of them.
    """

    hidden: int
    inner: int
    vocabulary: int
    key_value_heads: int
    head_size: int
    latent: int | None
    windows: tuple[int | None, ...]

    def kept(self, tokens: int) -> int:
        """How many tokens all layers together keep of a sequence of so many."""
        return sum(tokens if window is None else min(tokens, window) for window in self.windows)


def shape_of(config: Mapping[str, Any]) -> Shape:
    """Raises Untold where config.json does not say enough.

    Without ``intermediate_size`` it is four times the hidden size, as in GPT-2, BLOOM, MPT and Falcon.
    Latent attention keeps one vector and its rotary part (DeepSeek-V2, arXiv 2405.04434, table 1).
    """
    text = config.get("text_config") or config
    if not isinstance(text, Mapping):
        raise Untold(["text_config"])
    known = {name: _number(text, names) for name, names in _NAMES.items()}
    layers = known["num_hidden_layers"] or 0
    kinds = _kinds(text, layers)
    needed = {_WINDOWS[kind] for kind in kinds if kind in _WINDOWS and not _number(text, (_WINDOWS[kind],))}
    missing = [*(name for name, value in known.items() if not value), *sorted(needed)]
    if missing:
        raise Untold(missing)
    hidden, heads = known["hidden_size"] or 0, known["num_attention_heads"] or 0
    return Shape(
        hidden=hidden,
        inner=_number(text, _INNER) or 4 * hidden,
        vocabulary=known["vocab_size"] or 0,
        key_value_heads=_key_value_heads(text) or heads,
        head_size=_number(text, ("head_dim",)) or hidden // heads,
        latent=_latent(text),
        windows=tuple(_window(text, kind) for kind in kinds),
    )


def _number(text: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The first of these that is a size."""
    values = (text.get(name) for name in names)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0), None)


def _key_value_heads(text: Mapping[str, Any]) -> int | None:
    """None where each head has its own. Falcon's new architecture ignores ``multi_query``."""
    if text.get("multi_query") and not text.get("new_decoder_architecture"):
        return 1
    section = text.get("attn_config")  # MPT's and DBRX's
    return _number({**section, **text} if isinstance(section, Mapping) else text, _KEY_VALUE_HEADS)


def _latent(text: Mapping[str, Any]) -> int | None:
    rank = _number(text, ("kv_lora_rank",))
    return rank and rank + (_number(text, ("qk_rope_head_dim",)) or 0)


def _kinds(text: Mapping[str, Any], layers: int) -> list[str]:
    """Of each layer; all alike where config.json names none."""
    kinds = text.get("layer_types")
    if isinstance(kinds, list) and kinds:
        return [str(kind) for kind in kinds]
    windowed = text.get("sliding_window") and text.get("use_sliding_window", True)
    return ["sliding_attention" if windowed else "full_attention"] * layers


def _window(text: Mapping[str, Any], kind: str) -> int | None:
    """How many tokens a layer of this kind keeps; None, also for a kind nobody knows, is all."""
    if kind in _WINDOWS:
        return _number(text, (_WINDOWS[kind],))
    return 0 if kind in _STATES else None
