"""Ask an API the items that the candidate was asked, for people to see how far from it the candidate is.

Nothing depends on it: what goes wrong is a note, and the release goes on. It costs money, so what was
answered is kept for a day, look by look: the next try of a release asks only what is missing. Not for longer,
as another model may answer behind the same name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prefect import task
from prefect.cache_policies import NO_CACHE

from eval_suites.beside import Asked, Beside, can_compare, compare
from eval_suites.gate import is_complete
from eval_suites.plan import plan_of
from eval_suites.report import EvalReport
from eval_suites.suite import EvalTask, Suite
from registry.data_errors import worded
from registry.errors import HeadgateError, InfrastructureError, UsageError
from registry.plain_text import one_line
from tasks.ask_suite import ENGINE, read_look, suite_request
from tasks.engine_run import engine_digest, reading, run_engine
from tasks.progress import report
from tasks.secret_value import clean, secret_of
from tasks.workplace import Workplace

_STAGE = "compare"
_KEPT = timedelta(days=1)
_TIMEOUT = 2 * 3600.0  # seconds, for all items of one API
_ENGINES_KEY = "HEADGATE_API_KEY"
_SHOWN = 500  # characters of why it could not be asked
_NAME = 100  # characters of a name
_SHORTEST_KEY = 8  # characters: a shorter one is left in logs, see tasks.redact


@dataclass(frozen=True)
class Api:
    """An OpenAI-compatible API by its name in the spec; where its key is, and never the key."""

    name: str
    url: str
    model: str
    key_secret: str | None = None
    key_env: str | None = None

    @property
    def host(self) -> str:
        """Host and port, as people are shown it."""
        return urlsplit(self.url).netloc


def api_key(env: Mapping[str, str], api: Api) -> str | None:
    """The key, or None for an API that needs none. Raises UsageError where it is not where the spec says."""
    where = f"evaluate.compare[{api.name}]"
    if api.key_secret:
        key = secret_of(api.key_secret, named_by=f"{where}.key_secret", instead="name a variable as key_env")
    elif api.key_env:
        key = clean(env.get(api.key_env, ""), api.key_env)
    else:
        return None
    if key is None or len(key) < _SHORTEST_KEY:
        found = f"{api.key_secret or api.key_env} is {'shorter than any key' if key else 'empty, or not set'}"
        next_step = "put the key there, or leave the API out of evaluate.compare"
        raise UsageError(f"There is no key for {where}", why=found, next_step=next_step)
    return key


def check_keys(place: Workplace, apis: Iterable[Api]) -> None:
    """Raises UsageError for an API of which the key is not where the spec says."""
    for api in apis:
        api_key(place.env, api)


@task(cache_policy=NO_CACHE)
def ask_api(place: Workplace, api: Api, suite: Suite, seed: int, candidate: EvalReport) -> Beside:
    """What the API scored beside the candidate, as far as that was asked; or why it could not be asked."""
    with place.stage(_STAGE, f"{api.name}: suite {suite.name}"):
        asked = _Asking(place, api, suite, seed, candidate.looks).asked()
    if asked.failure:
        report(_STAGE, f"{api.name} could not be asked: {asked.failure}")
    return Beside(
        name=api.name,
        host=api.host,
        model=api.model,
        at=asked.at,
        models=asked.models,
        tasks=compare(suite, plan_of(suite, seed), candidate, asked),
        failure=asked.failure,
    )


@dataclass(frozen=True)
class _Asking:
    """An API, and the looks of a suite that it is to be asked."""

    place: Workplace
    api: Api
    suite: Suite
    seed: int
    looks: int

    def asked(self) -> Asked:
        """What is kept, and what was missing of it as far as it could be asked."""
        asked = self._known()

        def heard(line: Mapping[str, Any]) -> None:
            nonlocal asked
            if "ranked" in line:
                with self._reading():
                    asked = replace(asked, ranked=_names(line["ranked"]))
            if "look" in line:
                asked = self._after(asked, line)
                self.place.keep(_STAGE, self._inputs, asked.to_json())

        try:
            if self._compared and asked.report.looks < self.looks:
                self._ask(asked.report.looks, heard)
        except HeadgateError as problem:
            return replace(asked, failure=one_line(problem.problem, _SHOWN))
        except OSError as problem:  # a full disk
            return replace(asked, failure=one_line(worded(problem), _SHOWN))
        return asked

    def _ask(self, looks: int, heard: Callable[[Mapping[str, Any]], None]) -> None:
        """Ask what comes after so many looks."""
        key = api_key(self.place.env, self.api)
        run_engine(
            ENGINE,
            self._request(looks),
            self.place.run,
            timeout=_TIMEOUT,
            stage=_STAGE,
            heard=heard,
            secrets={_ENGINES_KEY: key} if key else {},
        )

    def _request(self, looks: int) -> dict[str, Any]:
        folder = Path(tempfile.mkdtemp(prefix=f"{_STAGE}-", dir=self.place.run.directory))
        return {
            "api": True,
            "base_url": f"{self.api.url.rstrip('/')}/chat/completions",
            "model": self.api.model,
            "looks": self._looks(looks, self.looks),
            **suite_request(folder, self.suite, self.seed),
        }

    def _after(self, asked: Asked, line: Mapping[str, Any]) -> Asked:
        with self._reading():
            wanted = self._looks(asked.report.looks, self.looks)[0]
            report = asked.report.with_look(read_look(line, self.suite, wanted))
            models = _names(line["models"])
        compared = tuple(task for task in self._compared if task.name not in asked.ranked)
        if not is_complete(replace(self.suite, tasks=compared), plan_of(self.suite, self.seed), report):
            raise InfrastructureError("the evaluator did not score every item that was answered")
        return replace(asked, report=report, models=tuple(sorted({*asked.models, *models})))

    def _reading(self) -> AbstractContextManager[None]:
        return reading(ENGINE, self.place.run.log_file(_STAGE))

    def _looks(self, first: int, end: int) -> list[dict[str, tuple[int, ...]]]:
        """What these looks ask of the tasks that are compared."""
        looks = plan_of(self.suite, self.seed).looks[first:end]
        return [{task.name: look[task.name] for task in self._compared} for look in looks]

    @property
    def _compared(self) -> tuple[EvalTask, ...]:
        return tuple(task for task in self.suite.tasks if can_compare(task))

    @property
    def _inputs(self) -> dict[str, Any]:
        asked = {"suite": self.suite.digest, "seed": self.seed, "engine": engine_digest(ENGINE)}
        return {"url": self.api.url, "model": self.api.model, **asked}

    def _known(self) -> Asked:
        now, kept = datetime.now(UTC), self.place.known(_STAGE, self._inputs)
        if kept and now - datetime.fromisoformat(kept["at"]) < _KEPT:
            return Asked.from_json(kept)
        return Asked(at=now.isoformat(timespec="seconds"))


def _names(value: Any) -> tuple[str, ...]:
    """A list of names, as people may be shown them; raises TypeError for anything else."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError("these are no names")
    return tuple(one_line(name, _NAME) for name in value)
