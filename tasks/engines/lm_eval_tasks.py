"""lm-eval's own tasks, found by name and built over a dataset folder; and an lm-eval without a network.

Shared by the engine that reads tasks and the one that asks them, so that both build the same task. A task is
read from its YAML file, includes and all; nothing of it runs before ``build``.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine_protocol import EngineError

_NAMED = re.compile(r"""^["']?(task|group)["']?[ \t]*:[ \t]*["']?([\w.:-]+)""", re.MULTILINE)
_NO_TASK = ("tag", "group", "task_list")  # what a task's file says for lists of tasks
_NOT_OF_A_FOLDER = ("revision", "trust_remote_code", "token")


def isolate(scratch: str, server: str | None = None) -> list[tuple[str, int]]:
    """Keep lm-eval off the network, off the user's caches, and from sending a key it finds lying about.

    Connections of this process and of those it forks go to the server's addresses, which are returned, or
    nowhere. It is no sandbox: a program that they start, or native code with sockets of its own, is only asked to
    stay offline. Raises EngineError (infra) for a server whose name has no address.
    """
    os.environ.update(
        HF_HOME=scratch,
        HF_HUB_OFFLINE="1",
        HF_DATASETS_OFFLINE="1",
        HF_EVALUATE_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        TOKENIZERS_PARALLELISM="false",
        DISABLE_MULTIPROC="1",
    )
    for name in ("OPENAI_API_KEY", "HF_DATASETS_CACHE", "HF_HUB_CACHE"):
        os.environ.pop(name, None)
    allowed = _addresses(server) if server else []

    def guard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and not _is_allowed(arguments[1], allowed):
            raise PermissionError(f"the evaluator may not reach {arguments[1]}")

    sys.addaudithook(guard)
    return allowed


def _addresses(url: str) -> list[tuple[str, int]]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise EngineError(
            "infra",
            f"The name {parts.hostname} has no address",
            why=error.strerror or str(error),
            next_step="check the url, and the network",
        ) from error
    return list(dict.fromkeys((str(address[0]), int(address[1])) for *_, address in found))


def _is_allowed(address: Any, allowed: list[tuple[str, int]]) -> bool:
    """Addresses that are no tuple are of this machine alone: Unix sockets."""
    return not isinstance(address, tuple) or address[:2] in allowed


def find(name: str) -> Path:
    """The file of a task; raises EngineError (config) for another name, or one of many tasks."""
    tasks, groups = _index()
    if name in groups:
        raise EngineError(
            "config",
            f"{name} is a group of lm-eval's tasks",
            why="a group is no set of items that could be compared one by one",
            next_step=f"name its tasks one by one; they are listed in {groups[name].relative_to(_root())}",
        )
    if name not in tasks:
        near = difflib.get_close_matches(name, tasks, n=3)
        raise EngineError(
            "config",
            f"lm-eval has no task {name}",
            why=f"near to it: {', '.join(near)}" if near else "nor one with a name like it",
            next_step="correct `lm_eval` in the suite",
        )
    return tasks[name]


def written(name: str) -> dict[str, Any]:
    """What a task's file says, with its includes; functions are paths, none is loaded."""
    from lm_eval.tasks._yaml_loader import load_yaml

    return load_yaml(find(name), resolve_func=False)


def loaded(name: str) -> dict[str, Any]:
    """The same with its functions; raises EngineError (config) when their code does not load."""
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        return load_yaml(find(name), resolve_func=True)
    except Exception as error:  # whatever that code raises
        raise EngineError(
            "config",
            f"The code of lm-eval's task {name} does not load",
            why=f"{type(error).__name__}: {str(error)[:300]}",
            next_step="choose another task: this one wants a package, or a network, that the evaluator has not",
        ) from error


def code_of(config: dict[str, Any]) -> list[str]:
    """Each place at which a task runs Python: ``process_docs: hellaswag/utils.process_docs``."""
    functions = [f"{where}: {value}" for where, value in _functions(config, "")]
    unsafe = ["unsafe_code: it runs what the model wrote"] if config.get("unsafe_code") else []
    return [*functions, *unsafe]


def check_dataset(name: str, config: dict[str, Any]) -> None:
    """Raises EngineError (config) unless the data is one repository of a hub, so that a commit says what it is."""
    path, own = config.get("dataset_path"), [key for key in ("class", "custom_dataset") if key in config]
    if not own and "/" in (path or ""):
        return
    why = f"its `{own[0]}` gets it by code of its own" if own else "it is no dataset repository of a hub"
    raise EngineError(
        "config",
        f"The dataset of {name} cannot be pinned",
        why=why,
        next_step="choose another task, or write its items into a JSONL file beside the suite",
    )


def build(asked: dict[str, Any]) -> Any:
    """lm-eval's task as a suite asks it: ``name``, ``lm_eval``, ``few_shot``, and the dataset's ``folder``.

    Raises EngineError (config) when the folder does not hold what the task needs.
    """
    from lm_eval.api.task import ConfigurableTask

    config = loaded(asked["lm_eval"])
    kwargs = {k: v for k, v in (config.get("dataset_kwargs") or {}).items() if k not in _NOT_OF_A_FOLDER}
    if (sampling := config.get("generation_kwargs")) and not sampling.get("do_sample"):
        # The completions client goes by the temperature alone, and some tasks say 1 beside `do_sample: false`.
        config["generation_kwargs"] = {**sampling, "temperature": 0.0}
    config |= {
        "task": asked["name"],
        "num_fewshot": asked["few_shot"],
        "dataset_path": asked["folder"],
        "dataset_kwargs": kwargs,
    }
    try:
        return ConfigurableTask(config={k: v for k, v in config.items() if k not in _NO_TASK})
    except (ValueError, LookupError, FileNotFoundError) as error:
        raise EngineError(
            "config",
            f"lm-eval cannot read the dataset of {asked['lm_eval']} at its commit",
            why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            next_step="pin a commit that lm-eval's task fits: one with data files, not with a loading script",
        ) from error


@functools.cache
def _index() -> tuple[dict[str, Path], dict[str, Path]]:
    """The files of all tasks and all groups, by name; lm-eval's own index takes ten times as long."""
    tasks, groups = {}, {}
    for path in sorted(_root().glob("**/*.yaml"), key=Path.as_posix):
        for kind, found in _NAMED.findall(path.read_text(encoding="utf-8")):
            (tasks if kind == "task" else groups).setdefault(found, path)
    return tasks, groups


def _root() -> Path:
    import lm_eval.tasks

    return Path(lm_eval.tasks.__file__).resolve().parent


def _functions(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """``!function`` gives a path below lm-eval's tasks where functions are not loaded."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _functions(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _functions(inner, f"{where}[{number}]")
    elif isinstance(value, str) and value.startswith(f"{_root()}{os.sep}"):
        yield where, Path(value).relative_to(_root()).as_posix()
