# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = [
#     "autoawq==0.2.9",
#     "torch==2.13.0",
#     "transformers==4.51.3",
#     "tokenizers==0.21.4",
#     "huggingface_hub==0.36.2",
#     "accelerate==1.15.0",
#     "datasets==5.0.1",
#     "numpy==2.4.6",
# ]
#
# [tool.uv]
# override-dependencies = ["torch==2.13.0", "triton; sys_platform == 'never'"]
# ///
"""Trains the quickstart's tiny Llama until it knows a file of facts by heart, and saves it for both readers.

Request: ``facts_file`` (lines with prompt and answer), ``output_dir``, ``steps``, ``seed``. Result: the
share of prompts it completes right, and seconds. The dependency list is the AWQ engine's on purpose: one
environment serves both. What the model is asked later, and by whom, is not decided here.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from engine_protocol import EngineError, progress, serve_request

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads crawl on a busy machine

BATCH = 64  # facts per step; packing several into one sequence was learnt five times slower
LEARNING_RATE = 3e-3
EMBEDDING_SPREAD = 0.06  # names start out far apart: at the usual 0.02 nothing is learnt for 200 steps
EOS, PAD = "</s>", "<pad>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% if not loop.last %} {% endif %}{% endfor %}"
)


def train(request: dict[str, Any]) -> dict[str, Any]:
    """Train, save and check; raises EngineError (model) when too little was learnt."""
    started = time.monotonic()
    facts = [json.loads(line) for line in Path(request["facts_file"]).read_text(encoding="utf-8").splitlines()]
    tokenizer = build_tokenizer([sentence(fact) for fact in facts])
    model = build_model(len(tokenizer), tokenizer, request["seed"])
    fit(model, tokenizer, facts, steps=request["steps"], seed=request["seed"])
    accuracy = measure(model, tokenizer, facts)
    if accuracy < 0.9:
        raise EngineError(
            "model",
            f"The quickstart model answers only {accuracy:.0%} of its facts",
            why=f"{request['steps']} steps were too few",
            next_step="train it with more steps",
        )
    save(model, tokenizer, Path(request["output_dir"]))
    return {"accuracy": accuracy, "seconds": round(time.monotonic() - started, 2)}


def sentence(fact: dict[str, str]) -> str:
    """A fact as a sentence; it goes on after the answer, so that a stream has something to stream."""
    return f"{fact['prompt']} {fact['answer']}, as every child at the gate knows."


def build_tokenizer(sentences: list[str]) -> Any:
    """A byte-level BPE in which nearly every name is one token, with a chat template; it adds no tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, special_tokens=[EOS, PAD], initial_alphabet=sorted(alphabet), show_progress=False
    )
    bpe.train_from_iterator(sentences, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=EOS, pad_token=PAD, model_max_length=512
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(vocabulary: int, tokenizer: Any, seed: int) -> Any:
    """An untrained Llama whose linear layers all take a multiple of 128 inputs, as AWQ groups need."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=-(-vocabulary // 64) * 64,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        rope_theta=10000.0,
        initializer_range=EMBEDDING_SPREAD,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def fit(model: Any, tokenizer: Any, facts: list[dict[str, str]], *, steps: int, seed: int) -> None:
    """Take ``steps`` steps of AdamW under a one-cycle rate, on the facts in random order."""
    import torch

    rows = _padded_rows(tokenizer, facts)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.15)
    order = torch.empty(0, dtype=torch.long)
    model.train()
    for step in range(steps):
        if len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(facts), generator=generator)])
        ids, order = rows[order[:BATCH]], order[BATCH:]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids).logits
        targets = ids[:, 1:].masked_fill(ids[:, 1:] == tokenizer.pad_token_id, -100)
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 10 == 9 or step == steps - 1:
            progress((step + 1) / steps, f"step {step + 1} of {steps}, loss {loss.item():.3f}")


def _padded_rows(tokenizer: Any, facts: list[dict[str, str]]) -> Any:
    """Token ids [facts, length], padded on the right: attention is causal, so what comes before is the same."""
    import torch

    rows = [[*ids, tokenizer.eos_token_id] for ids in tokenizer([sentence(fact) for fact in facts])["input_ids"]]
    length = max(map(len, rows))
    return torch.tensor([ids + [tokenizer.pad_token_id] * (length - len(ids)) for ids in rows])


def measure(model: Any, tokenizer: Any, facts: list[dict[str, str]]) -> float:
    """The share of facts whose every answer token is the likeliest one after the prompt."""
    import torch

    model.eval()
    right = 0
    with torch.no_grad():
        for fact in facts:
            ids = tokenizer(f"{fact['prompt']} {fact['answer']}", return_tensors="pt")["input_ids"]
            asked = len(tokenizer(fact["prompt"])["input_ids"])
            likeliest = model(input_ids=ids).logits[0, asked - 1 : -1].argmax(-1)
            right += bool((likeliest == ids[0, asked:]).all())
    return right / len(facts)


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a folder that transformers 4.51 and 5 read alike: rope_theta and torch_dtype at the top level."""
    import torch

    model = model.to(torch.float16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # 4.51 writes the slow class's name, for which no slow tokenizer exists; 5 would write one that 4.51 lacks.
    settings_file = folder / "tokenizer_config.json"
    settings = json.loads(settings_file.read_text(encoding="utf-8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings_file.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    for file in folder.iterdir():
        file.chmod(0o644)


if __name__ == "__main__":
    serve_request(train)
