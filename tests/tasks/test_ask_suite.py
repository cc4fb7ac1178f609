"""What an evaluator writes is read as strictly as a stranger's file: what was asked, or an error."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from eval_suites.report import EvalReport
from eval_suites.suite import Suite, load_suite
from images.runtime import Distribution, Runtime
from registry.errors import InfrastructureError
from registry.home import Home
from registry.manifest import Manifest
from tasks import ask_suite as asking
from tasks.run import open_run
from tasks.runtime import Installed
from tasks.serving import Endpoint, Served
from tasks.workplace import Workplace
from tests.simulators.evaluation import SEED, engine_result
from tests.simulators.records import SERVE, digest
from tests.simulators.reviews import reviewed_suite

EXAMPLE = Path(__file__).parents[1] / "fixtures" / "suites" / "example.yaml"
Samples = list[dict[str, Any]]
Ask = Callable[..., EvalReport]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Asks a suite of an engine that leaves these bytes as its look, and says these lines."""
    runtime = Runtime((Distribution("vllm", "1", digest("vllm")),))
    served = Served("candidate", Manifest({}), SERVE, Installed(Path(sys.executable), runtime))
    with open_run(Home(tmp_path / "home"), "run") as run:
        place = Workplace(run.home, {}, run)

        def asked(suite: Suite, look: bytes, *lines: Mapping[str, Any]) -> EvalReport:
            def engine(_name: str, request: Mapping[str, Any], *_: Any, heard: Any, **__: Any) -> None:
                folder = Path(request["looks_dir"])
                (folder / "0.json").write_bytes(look)
                (folder / "0.gz").write_bytes(gzip.compress(b""))
                said = {"look": str(folder / "0.json"), "texts": str(folder / "0.gz")}
                for line in lines or ({},):
                    heard({**said, **line})

            monkeypatch.setattr(asking, "run_engine", engine)
            endpoint = Endpoint("http://127.0.0.1:1", "candidate", tmp_path)
            return asking.ask_suite(place, served, endpoint, suite, SEED, EvalReport({}), lambda _: False)

        yield asked


@pytest.fixture(scope="module")
def suite() -> Suite:
    """The example suite: one look."""
    return load_suite(EXAMPLE)


def samples(suite: Suite) -> Samples:
    """What an engine says of a model that knows nothing."""
    found: Samples = engine_result(suite, {}, looks=1)["samples"]
    return found


def look(found: Any) -> bytes:
    """As an engine writes it, NaN and all."""
    return json.dumps({"samples": found}).encode()


def changed(suite: Suite, **fields: Any) -> bytes:
    """A look of which the first item says something else."""
    first, *others = samples(suite)
    return look([{**first, **fields}, *others])


def test_what_was_scored_comes_back(ask: Ask, suite: Suite) -> None:
    """With the texts it was said in."""
    found = ask(suite, look(samples(suite)))
    assert (found.looks, len(found.texts)) == (1, 1)
    assert {task: len(items) for task, items in found.items.items()} == {t.name: t.items for t in suite.tasks}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"value": "1.0"}, "the value of an item is '1.0', which is neither a number nor null"),
        ({"value": True}, "neither a number nor null"),
        ({"value": 10**400}, "a number of 401 digits"),
        ({"value": float("nan")}, "the number NaN"),
        ({"doc_id": 1.5}, "doc_id is 1.5"),
        ({"doc_id": 99999}, "item 99999 of task"),
        ({"doc_id": -1}, "doc_id is -1"),
        ({"task": "another"}, "of task another was not asked"),
        ({"prompt_hash": None}, "prompt_hash is None"),
        ({"said": 5}, "what was said to an item is 5"),
        ({"said": "yes", "value": None}, "is not for people"),
    ],
)
def test_an_item_of_another_form_is_told(ask: Ask, suite: Suite, fields: dict[str, Any], why: str) -> None:
    """As the engine's fault, with its log: neither a traceback, nor a verdict on what it might have meant."""
    with pytest.raises(InfrastructureError, match="the engine evaluate_lm_eval wrote cannot be read") as told:
        ask(suite, changed(suite, **fields))
    assert why in told.value.why
    assert "evaluate.log" in told.value.next_step


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"null", b"[]", b"{}", look("x"), look({}), b"[" * 99999]
)
def test_a_look_of_another_form_is_told(ask: Ask, suite: Suite, data: bytes) -> None:
    """Whatever is in the file."""
    with pytest.raises(InfrastructureError, match="the engine evaluate_lm_eval wrote cannot be read"):
        ask(suite, data)


@pytest.mark.parametrize(
    "line",
    [{"look": None}, {"look": 5}, {"look": "gone"}, {"look": "a\0"}, {"texts": None}, {"texts": "gone"}],
)
def test_a_line_of_another_form_is_told(ask: Ask, suite: Suite, line: dict[str, Any]) -> None:
    """It names files that are there."""
    with pytest.raises(InfrastructureError, match="the engine evaluate_lm_eval wrote cannot be read"):
        ask(suite, look(samples(suite)), line)


def test_more_looks_than_there_are_and_fewer_are_told(ask: Ask, suite: Suite, tmp_path: Path) -> None:
    """Nobody said: enough."""
    with pytest.raises(InfrastructureError, match="cannot be read"):
        ask(suite, look(samples(suite)), {}, {})
    people = reviewed_suite(tmp_path)  # three looks
    answered = [{**sample, "value": None, "said": "yes"} for sample in samples(people)]
    with pytest.raises(InfrastructureError, match="did not score every item"):
        ask(people, look(answered))
    with pytest.raises(InfrastructureError, match="cannot be read") as told:
        ask(people, look(samples(people)))
    assert "has no answer for people to judge" in told.value.why
