"""A Llama small enough to quantize in seconds, made without torch: random weights, a tokenizer of words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.simulators.weights import safetensors

WORDS = [f"word{number}" for number in range(60)]
VOCABULARY = {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3, **{word: 4 + i for i, word in enumerate(WORDS)}}
HIDDEN, INTERMEDIATE, LAYERS, KEYS = 128, 256, 2, 64
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": len(VOCABULARY),
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
    "torch_dtype": "float16",
    "transformers_version": "4.51.3",
}
_TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": VOCABULARY, "unk_token": "<unk>"},
}


def write_tiny_llama(folder: Path, *, twin_head: bool = False, seed: int = 0, **config: Any) -> Path:
    """Write the model's folder; ``config`` overrides what config.json says, and no shapes.

    ``twin_head``: the head has the embeddings' values, in a tensor of its own.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    tensors = {}
    for name, shape in _shapes().items():
        values = np.ones(shape) if len(shape) == 1 else random.normal(0, 0.06, shape)
        tensors[name] = ("F16", shape, values.astype("<f2").tobytes())
    if twin_head:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    (folder / "model.safetensors").write_bytes(safetensors(tensors))
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "pad_token": "<pad>"}
    generation = {"_from_model_config": False, "bos_token_id": 1, "eos_token_id": 2, "temperature": 0.6}
    for file, content in (
        ("config.json", {**CONFIG, **config}),
        ("generation_config.json", generation),
        ("tokenizer.json", _TOKENIZER),
        ("tokenizer_config.json", tokenizer),
    ):
        (folder / file).write_text(json.dumps(content, indent=1), encoding="utf-8")
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}", encoding="utf-8")
    return folder


def write_texts(path: Path, *, count: int = 8, seed: int = 0) -> Path:
    """Write calibration texts of 40 words each."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, 40)) for _ in range(count)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (len(VOCABULARY), HIDDEN)}
    for layer in (f"model.layers.{number}" for number in range(LAYERS)):
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{layer}.{name}.weight"] = (HIDDEN,)
        for name, width in (("q", HIDDEN), ("k", KEYS), ("v", KEYS), ("o", HIDDEN)):
            shapes[f"{layer}.self_attn.{name}_proj.weight"] = (width, HIDDEN)
        for name in ("gate", "up"):
            shapes[f"{layer}.mlp.{name}_proj.weight"] = (INTERMEDIATE, HIDDEN)
        shapes[f"{layer}.mlp.down_proj.weight"] = (HIDDEN, INTERMEDIATE)
    return {**shapes, "model.norm.weight": (HIDDEN,), "lm_head.weight": (len(VOCABULARY), HIDDEN)}
