"""The pure parts of the engines that speak with lm-eval, which is not here, and their way to the network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.engine_environment import ENGINES
from tests.simulators.engine_modules import load_engine

GUARDED = """
import socket, sys
sys.path.insert(0, sys.argv[1])
import lm_eval_tasks
server, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
address = f"http://localhost:{server.getsockname()[1]}/v1"
lm_eval_tasks.isolate("/nowhere", address if sys.argv[2] == "server" else None)
for listening in (server, other):
    try:
        socket.create_connection(listening.getsockname()).close()
        print("reached")
    except PermissionError:
        print("refused")
"""


tasks = load_engine("lm_eval_tasks")
reader = load_engine("read_lm_eval")
asker = load_engine("evaluate_lm_eval")
samples = load_engine("lm_eval_samples")


@pytest.mark.parametrize(("server", "said"), [("server", "reached refused"), ("none", "refused refused")])
def test_the_evaluator_reaches_the_server_and_nothing_else(server: str, said: str) -> None:
    """Not even another port of the same machine; and nothing at all while it reads tasks."""
    command = [sys.executable, "-c", GUARDED, str(ENGINES), server]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == said.split()


def test_every_function_of_a_task_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However deep: in a filter, a metric, the worked examples; and code that a model wrote."""
    monkeypatch.setattr(tasks, "_root", lambda: tmp_path)
    config = {
        "doc_to_text": "{{question}}",
        "process_docs": f"{tmp_path}/hellaswag/utils.process_docs",
        "filter_list": [{"filter": [{"function": "custom", "filter_fn": f"{tmp_path}/x/y.pick"}]}],
        "metric_list": [{"metric": "acc", "aggregation": f"{tmp_path}/x/y.mean"}],
        "unsafe_code": True,
    }
    assert tasks.code_of(config) == [
        "process_docs: hellaswag/utils.process_docs",
        "filter_list[0].filter[0].filter_fn: x/y.pick",
        "metric_list[0].aggregation: x/y.mean",
        "unsafe_code: it runs what the model wrote",
    ]
    assert tasks.code_of({"doc_to_text": "{{question}}", "dataset_path": "org/name"}) == []


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"dataset_path": "json"}, "no dataset repository"),
        ({}, "no dataset repository"),
        ({"dataset_path": "org/name", "custom_dataset": "x/y.load"}, "`custom_dataset` gets it by code"),
        ({"class": "x/y.Task"}, "`class` gets it by code"),
    ],
)
def test_a_dataset_without_a_commit_is_refused(config: dict[str, Any], why: str) -> None:
    """A commit would say nothing about what such a task asks."""
    tasks.check_dataset("fine", {"dataset_path": "org/name"})
    with pytest.raises(Exception, match="cannot be pinned") as raised:
        tasks.check_dataset("task", config)
    assert why in raised.value.why
    assert raised.value.failure == "config"


@pytest.mark.parametrize(
    ("question", "answer", "choices", "text"),
    [
        ("Sky is", 1, ["red", "blue"], "Sky is blue"),
        ("Sky is", "blue", None, "Sky is blue"),
        ("Sky is", ["blue", "azure"], None, "Sky is blue"),
        ("Sky is", [1], ["red", "blue"], "Sky is blue"),
        ("Write a poem.", 0, None, "Write a poem."),
        (1, "is blue", ["Grass", "Sky"], "Sky is blue"),
    ],
)
def test_a_text_is_a_prompt_with_its_right_answer(
    question: object, answer: object, choices: object, text: str
) -> None:
    """In each of the forms in which lm-eval's tasks name it."""
    task = SimpleNamespace(
        config=SimpleNamespace(doc_to_choice=choices, target_delimiter=" "),
        doc_to_text=lambda _doc: question,
        doc_to_target=lambda _doc: answer,
        doc_to_choice=lambda _doc: choices,
    )
    assert reader.text_of(task, {}) == text


SAMPLE = {
    "doc_id": 0,
    "doc_hash": "d",
    "prompt_hash": "p",
    "metrics": ["acc", "f1"],
    "acc": 1.0,
    "f1": (1, 0),
    "arguments": [("a prompt", " yes")],
    "resps": [[(-0.5, True)]],
}


def test_a_score_is_the_chosen_metrics() -> None:
    """A metric without a number for each item cannot be compared item by item."""
    assert asker.sample_of("facts", SAMPLE)["value"] == 1.0
    assert asker.sample_of("facts", {**SAMPLE, "f2": 0.5}, "f2")["value"] == 0.5
    with pytest.raises(Exception, match="gives no number per item"):
        asker.sample_of("facts", SAMPLE, "f1")


def test_a_score_beyond_1_is_the_suites_mistake() -> None:
    """A metric from 0 to 100 is told by its name; no number at all is a request that failed, for the gate."""
    for value in (37.5, -0.1):
        with pytest.raises(Exception, match=f"rouge1 of news gives item 0 the score {value}") as raised:
            asker.sample_of("news", {**SAMPLE, "rouge1": value}, "rouge1")
        assert raised.value.failure == "config"
        assert "scores each item from 0 to 1" in raised.value.next_step
    assert asker.sample_of("news", {**SAMPLE, "rouge1": float("nan")}, "rouge1")["value"] is None


def test_a_metric_is_judged_in_its_own_direction() -> None:
    """Turned round, a model that got worse would pass; where lm-eval says nothing, the suite does."""
    asked = {"lm_eval": "crows_pairs_english", "metric": "pct_stereotype", "higher_is_better": True}
    with pytest.raises(Exception, match="pct_stereotype of which less is better") as raised:
        reader.check_metric({"pct_stereotype": False}, asked)
    assert raised.value.failure == "config"
    assert raised.value.next_step.startswith("write `higher_is_better: false` in the task")
    with pytest.raises(Exception, match="of which more is better"):
        reader.check_metric({"pct_stereotype": True}, {**asked, "higher_is_better": False})
    for direction in (True, None):
        reader.check_metric({"pct_stereotype": direction}, asked)


class Client:
    """lm-eval's, with a token for each word."""

    max_length, _max_gen_toks = 99, 50
    tok_encode = staticmethod(str.split)


def test_a_prompt_that_is_cut_is_another_prompt() -> None:
    """As long as it fits its hash is lm-eval's; cut to another length, it is told from one that was not."""
    long = "word " * 90

    def hashed(length: int, *arguments: tuple[object, ...]) -> str:
        client = Client()
        client.max_length = length
        sample = {**SAMPLE, "arguments": arguments}
        return str(asker.sample_of("facts", sample, model=client)["prompt_hash"])

    assert hashed(99, (long, " yes"), (long, " no")) == hashed(200, (long, " yes")) == "p"
    assert hashed(80, (long, " yes")) == hashed(80, (long, " no")) != "p"
    assert len({hashed(length, (long, " yes")) for length in (70, 80, 99)}) == 3
    assert hashed(90, (long, ""), (long, " and more")) != "p"


def test_a_prompt_is_cut_to_leave_room_for_the_answer() -> None:
    """As many tokens as its task says, or lm-eval's own number."""
    for settings, room in (({}, 49), ({"max_gen_toks": 9}, 0)):
        assert samples.room_if_cut(Client(), "word " * 90, settings) == room


def test_answers_leave_room_for_prompts() -> None:
    """lm-eval would cut prompts to nothing, and all models would fail alike."""

    def task(kind: str, **settings: int) -> SimpleNamespace:
        return SimpleNamespace(OUTPUT_TYPE=kind, config=SimpleNamespace(generation_kwargs=settings or None))

    asker.check_room({"a": task("generate_until", max_gen_toks=99)}, 100, 256)
    asker.check_room({"a": task("multiple_choice")}, 100, 256)
    for known in ({"max_gen_toks": 100}, {}):
        with pytest.raises(Exception, match="writes up to") as raised:
            asker.check_room({"a": task("generate_until", **known)}, 100, 256)
        assert raised.value.next_step.startswith("raise serve.max_model_len")
