"""Whether the tasks of a suite may run Python: only a suite that is allowed by its digest. Pure.

lm-eval's task files may name functions of lm-eval's package, and tasks that run what the model wrote. The
digest says which suite, and so which tasks over which data, and which lm-eval; another has another digest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

from pydantic import StringConstraints

from eval_suites.suite_spec import SuiteSpec
from registry.digest import Digest
from registry.errors import UsageError

CodeDigest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""What ``code_digest`` gives, as a spec names it."""

_SHOWN = 6  # functions


def code_digest(suite: SuiteSpec, lm_eval: str, code: Mapping[str, Sequence[str]]) -> Digest:
    """What is allowed: the suite as it is written, lm-eval's version, and what each task runs."""
    written = suite.model_dump(mode="json", exclude={"description": True})
    return Digest.of_json(
        {"suite": written, "lm_eval": lm_eval, "code": {k: list(v) for k, v in code.items()}}
    )


def check_code(
    suite: SuiteSpec, lm_eval: str, code: Mapping[str, Sequence[str]], allowed: Collection[str]
) -> None:
    """Raises UsageError for a suite whose tasks run code and whose digest is not allowed."""
    runs = [f"{task}: {place}" for task, places in code.items() for place in places]
    digest = str(code_digest(suite, lm_eval, code))
    if not runs or digest in allowed:
        return
    shown = "".join(f"\n  {line}" for line in runs[:_SHOWN])
    more = f"\n  and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    raise UsageError(
        f"the suite {suite.name} runs code of lm-eval {lm_eval}:{shown}{more}",
        why="a suite is data, and Python in a task can do what the user can who evaluates",
        next_step=f"read that code, and if you trust it add {digest} to evaluate.allow_code in the spec,"
        " or give it to `headgate suites check` as --allow-code",
    )
