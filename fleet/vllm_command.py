"""The arguments of a vLLM server that serves a release exactly as its serve configuration says. Pure.

Which interpreter runs the server, the folder of the weights and the port are left to the engine program.
"""

from __future__ import annotations

from registry.version import ServeConfig

# In-flight streams finish within this many seconds of SIGTERM; vLLM's default cuts them at once.
SHUTDOWN_SECONDS = 30


def vllm_arguments(serve: ServeConfig, *, served_model_name: str) -> list[str]:
    """The flags for ``vllm.entrypoints.openai.api_server``; a release's own flags come last and win."""
    template = ["--chat-template", serve.chat_template] if serve.chat_template else []
    return [
        *("--served-model-name", served_model_name),
        *("--dtype", serve.dtype),
        *("--max-model-len", str(serve.max_model_len)),
        *("--tensor-parallel-size", str(serve.tensor_parallel_size)),
        *("--gpu-memory-utilization", f"{serve.gpu_memory_utilization:g}"),
        *("--max-num-seqs", str(serve.max_num_seqs)),
        *template,
        "--enable-force-include-usage",  # token counts in every stream, for the gateway's records
        *("--shutdown-timeout", str(SHUTDOWN_SECONDS)),
        *serve.extra_args,
    ]
