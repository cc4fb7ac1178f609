"""Ask a served artefact the items of a suite, look by look, until there is enough to decide."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval_suites.gate import is_complete
from eval_suites.lm_eval_task import render_tasks
from eval_suites.plan import plan_of
from eval_suites.report import EvalReport
from eval_suites.suite import Suite
from eval_suites.suite_spec import NamedTask, ReviewedTask
from registry.errors import InfrastructureError
from registry.strict_json import read_strictly
from tasks.engine_run import reading, run_engine
from tasks.kept_texts import keep_texts
from tasks.named_tasks import named_request
from tasks.progress import report
from tasks.serving import Endpoint, Served
from tasks.workplace import Workplace

ENGINE = "evaluate_lm_eval"
REQUESTS = {"num_concurrent": 4, "batch_size": 32}  # keeps vLLM's batches full on two cores
ENOUGH = "enough"
_STAGE = "evaluate"
_TIMEOUT = 6 * 3600.0  # seconds


def ask_suite(
    place: Workplace,
    served: Served,
    endpoint: Endpoint,
    suite: Suite,
    seed: int,
    so_far: EvalReport,
    looked: Callable[[EvalReport], bool],
) -> EvalReport:
    """What was scored, what was known before included.

    ``looked`` is given that after every look and says whether it is enough: the look that has begun by then
    is the last one. Raises InfrastructureError when an item has no proper score, when what the engine wrote
    cannot be read, and as ``run_engine``.
    """
    report(_STAGE, f"{served.who}: suite {suite.name}", 0.0)
    folder = Path(tempfile.mkdtemp(prefix="suite-", dir=place.run.directory))
    plan = plan_of(suite, seed)

    def heard(line: Mapping[str, Any]) -> None:
        nonlocal so_far
        if "look" in line:
            with reading(ENGINE, place.run.log_file(_STAGE)):
                look = read_look(line, suite, plan.looks[so_far.looks])
                texts = keep_texts(place.home, Path(line["texts"]))
                so_far = so_far.with_look(replace(look, texts=(texts,)))
            if not is_complete(suite, plan, so_far):
                raise _gap(place, served, suite)
            if looked(so_far):
                (folder / ENOUGH).touch()

    request = {
        "base_url": f"{endpoint.base_url}/v1/completions",
        "model": endpoint.model,
        "tokenizer_dir": str(endpoint.folder),
        "chat_template": served.serve.chat_template,
        "looks": plan.looks[so_far.looks :],
        "max_length": served.serve.max_model_len,
        **suite_request(folder, suite, seed),
    }
    run_engine(ENGINE, request, place.run, timeout=_TIMEOUT, stage=_STAGE, heard=heard)
    if so_far.looks < len(plan.looks) and not (folder / ENOUGH).exists():
        raise _gap(place, served, suite)
    return so_far


def suite_request(folder: Path, suite: Suite, seed: int) -> dict[str, Any]:
    """What the engine is told whoever is asked: the suite, and the folder to leave its looks in."""
    return {
        "tasks_dir": str(_write_tasks(folder / "tasks", suite)),
        "named": [
            named_request(task.spec, task.dataset) for task in suite.tasks if isinstance(task.spec, NamedTask)
        ],
        "chat": [task.name for task in suite.tasks if task.spec.chat],
        "looks_dir": str(folder),
        "enough": str(folder / ENOUGH),
        **REQUESTS,
        "seed": seed,
    }


def read_look(line: Mapping[str, Any], suite: Suite, asked: Mapping[str, Collection[int]]) -> EvalReport:
    """The scores of the look that the engine has spoken of: of items that were ``asked``, doc_ids by task.

    For the inside of ``reading``: raises what that turns into an error, for any other form.
    """
    found = read_strictly(Path(line["look"]).read_bytes())
    look = EvalReport.from_json({"samples": found["samples"], "looks": 1})
    look.check_asked(asked, {task.name for task in suite.tasks if isinstance(task.spec, ReviewedTask)})
    return look


def _gap(place: Workplace, served: Served, suite: Suite) -> InfrastructureError:
    """Such a look is not kept: the next run has to ask it again, not read the same gap."""
    return InfrastructureError(
        f"the evaluation of the {served.who} did not score every item of {suite.name}",
        why="a request failed, or the server gave a score that is no number",
        next_step=f"read the logs in {place.run.directory} and run the same command again",
    )


def _write_tasks(folder: Path, suite: Suite) -> Path:
    folder.mkdir()
    for name, content in render_tasks(suite, folder.absolute()).items():
        (folder / name).write_bytes(content)
    return folder
