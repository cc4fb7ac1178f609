"""What somebody would write who quantizes without Headgate: one short program for each library.

Each runs in the environment of our engine, and gets one argument, the JSON request that our engine gets. It
does the same work, with the library's own search settings: the benchmark compares the weights byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping

_TEXTS = """
import json, sys
import torch
asked = json.loads(sys.argv[1])
source, output = asked["source_dir"], asked["output_dir"]
with open(asked["calibration_texts_file"]) as file:
    texts = [json.loads(line)["text"].strip() for line in file][: asked["num_samples"]]
"""

_AUTOAWQ = """
from awq import AutoAWQForCausalLM
from transformers import PreTrainedTokenizerFast, set_seed
tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
samples = [tokenizer.encode(text)[: asked["sequence_length"]] for text in texts]
device = "auto" if torch.cuda.is_available() else "cpu"
model = AutoAWQForCausalLM.from_pretrained(source, device_map=device, trust_remote_code=False)
set_seed(asked["seed"])
model.quantize(
    tokenizer,
    quant_config={
        "zero_point": True, "q_group_size": asked["group_size"], "w_bit": asked["bits"], "version": "GEMM"
    },
    calib_data=samples, max_calib_samples=len(samples), max_calib_seq_len=asked["sequence_length"],
)
model.save_quantized(output)
tokenizer.save_pretrained(output)
"""

# Its own data loader would shuffle the samples, or sort them by length.
_LLM_COMPRESSOR = """
from compressed_tensors.quantization import preset_name_to_scheme
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.pipelines import cache
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
if not torch.accelerator.is_available():  # it would pin memory, and die of it
    cache.IntermediatesCache.pin_memory = lambda *arguments, **named: None
tokenizer = AutoTokenizer.from_pretrained(source)
rows = [torch.tensor([tokenizer(text)["input_ids"][: asked["sequence_length"]]]) for text in texts]
samples = [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in rows]
set_seed(asked["seed"])
model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", device_map="cpu")
scheme = preset_name_to_scheme("W4A16_ASYM", ["Linear"])
scheme.weights.group_size = asked["group_size"]
oneshot(
    model=model, processor=tokenizer,
    dataset=DataLoader(samples, batch_size=1, shuffle=False, collate_fn=lambda batch: batch[0]),
    recipe=[
        AWQModifier(duo_scaling="both"),
        QuantizationModifier(config_groups={"group_0": scheme}, ignore=["lm_head"]),
    ],
)
model.save_pretrained(output, save_compressed=True)
tokenizer.save_pretrained(output)
"""

PROGRAMS: Mapping[str, str] = {"autoawq": _TEXTS + _AUTOAWQ, "llm-compressor": _TEXTS + _LLM_COMPRESSOR}
"""The program for each engine of a recipe."""
