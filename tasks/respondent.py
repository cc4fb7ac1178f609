"""A served artefact that is asked one thing after another, and each of them once: what it said is kept.

Its server starts with the first question that is new and answers all others: one start per artefact. Each
part is kept by what it depends on: another judge, or the next try after a crash, asks only what is missing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from eval_suites.answers import Answer, prompts_digest
from eval_suites.plan import plan_of
from eval_suites.probe_texts import texts_digest
from eval_suites.report import EvalReport
from eval_suites.suite import Suite
from eval_suites.token_logprobs import TextLogprobs, from_bytes, to_bytes
from registry.errors import InfrastructureError
from registry.manifest import Manifest
from registry.predicates import FIDELITY, QUALITY, SANITY
from tasks.ask_suite import ENGINE, REQUESTS, ask_suite
from tasks.engine_run import engine_digest
from tasks.greedy_prompts import ask_prompts
from tasks.probe_tokens import probe_settings, probe_tokens
from tasks.progress import report
from tasks.runtime import RUNTIME_ENGINE
from tasks.serving import Endpoint, Served, serving
from tasks.workplace import Workplace

_PROBE = "probe.npz"


@dataclass(frozen=True)
class Respondent:
    """An artefact, and the stack that its server ends with.

    What is kept is asked again when the policy wants fresher evidence of the kind it is for.
    """

    place: Workplace
    served: Served
    servers: ExitStack

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where it answers; the first to want it waits until it does."""
        return self.servers.enter_context(serving(self.place, self.served))

    def answers(self) -> tuple[Answer, ...]:
        """To the sanity gate's greedy prompts."""

        def ask() -> dict[str, Any]:
            self._tell("greedy prompts")
            said = ask_prompts(self.endpoint, self.served.serve.max_model_len)
            return {"answers": [answer.to_json() for answer in said]}

        kept = self._once("answers", SANITY, {"prompts": prompts_digest()}, ask)
        return tuple(map(Answer.from_json, kept["answers"]))

    def probe(self, texts: Sequence[str], *, backwards: bool = False) -> tuple[TextLogprobs, ...]:
        """How likely it finds the tokens of each text, asked from the first to the last, or ``backwards``.

        Then each text is batched with others, and what differs is the noise of the server.
        """
        step, longest = -1 if backwards else 1, self.served.serve.max_model_len

        def ask() -> dict[str, Any]:
            self._tell(f"token probabilities of {len(texts)} texts{', once more' if backwards else ''}")
            return _kept_as_blob(self.place, probe_tokens(self.endpoint, texts[::step], longest)[::step])

        request = {"texts": texts_digest(texts), "request": probe_settings(longest), "backwards": backwards}
        return _from_blob(self.place, self._once("probe", FIDELITY, request, ask))

    def scores(self, suite: Suite, seed: int, enough: Callable[[EvalReport], bool]) -> EvalReport:
        """What it scored in the suite until that was ``enough``, which is asked after every look."""
        inputs, plan = {**self._inputs, **suite_inputs(suite, seed)}, plan_of(suite, seed)
        kept = self._known("evaluate", QUALITY, inputs)
        known = EvalReport.from_json(kept["report"]) if kept else EvalReport({})
        if kept and (known.looks == len(plan.looks) or enough(known)):
            return known

        def looked(so_far: EvalReport) -> bool:
            self._keep("evaluate", inputs, {"report": so_far.to_json()})
            return enough(so_far)

        return ask_suite(self.place, self.served, self.endpoint, suite, seed, known, looked)

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        """What all its answers depend on."""
        return {
            "weights": self.served.weights.set_digest,
            "runtime": self.served.installed.runtime.digest,
            "server": engine_digest(RUNTIME_ENGINE),
            "settings": {name: value for name, value in os.environ.items() if name.startswith("VLLM_")},
            "serve": self.served.serve.digest,
        }

    def _once(
        self, stage: str, kind: str, asked: Mapping[str, Any], ask: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        inputs = {**self._inputs, **asked}
        return self._known(stage, kind, inputs) or self._keep(stage, inputs, ask())

    def _known(self, stage: str, kind: str, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        kept = self.place.known(stage, inputs)
        return None if kept is None or _is_old(kept, self.place.policy.max_age(kind)) else kept

    def _keep(self, stage: str, inputs: Mapping[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        dated = {**result, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        self.place.keep(stage, inputs, dated)
        return dated

    def _tell(self, what: str) -> None:
        report("evaluate", f"{self.served.who}: {what}")


def suite_inputs(suite: Suite, seed: int) -> dict[str, Any]:
    """What scores depend on, whoever is asked: reports that differ in any of it do not compare."""
    return {
        "suite": suite.digest,
        "seed": seed,
        "plan": plan_of(suite, seed).digest,
        "engine": engine_digest(ENGINE),
        "requests": REQUESTS,
    }


def _is_old(result: Mapping[str, Any], limit: timedelta | None) -> bool:
    """Whether a policy that wants fresh evidence wants it measured again, and not only signed again."""
    return limit is not None and datetime.now(UTC) - datetime.fromisoformat(result["at"]) > limit


def _kept_as_blob(place: Workplace, texts: Sequence[TextLogprobs]) -> dict[str, Any]:
    """Megabytes, which are no JSON; garbage collection takes them when no run wanted them for a while."""
    folder = Path(tempfile.mkdtemp(prefix="probe-", dir=place.run.directory))
    (folder / _PROBE).write_bytes(to_bytes(texts))
    manifest = place.blobs.add_tree(folder)
    shutil.rmtree(folder)
    return {"manifest": manifest.to_json()}


def _from_blob(place: Workplace, kept: Mapping[str, Any]) -> tuple[TextLogprobs, ...]:
    digest = Manifest.from_json(kept["manifest"]).files[_PROBE].digest
    try:
        with place.blobs.open(digest) as file:
            return from_bytes(file.read())
    except ValueError as problem:
        raise InfrastructureError(
            "what a model said of the probe texts cannot be read any more",
            why=str(problem),
            next_step=f"remove {place.blobs.path(digest)} and run the same command again: it is asked anew",
        ) from problem
