"""lm-eval's own tasks, with the real lm-eval: read at a commit, asked offline of a server, code refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval_suites.beside import RANKED
from eval_suites.report import EvalReport, pair
from eval_suites.suite import Suite, load_suite
from eval_suites.suite_spec import NamedTask
from registry.errors import UsageError
from registry.version import ServeConfig
from tasks.ask_api import Api, ask_api
from tasks.ask_suite import ask_suite
from tasks.engine_environment import ENGINES, prepare_engine
from tasks.named_tasks import named_request, open_suite
from tasks.serving import Endpoint, Served
from tasks.workplace import Workplace, open_workplace
from tests.simulators.arc import REPOSITORY, arc_files, arc_hub
from tests.simulators.chat import Chat, serving_chat
from tests.simulators.completions import Model, serving_model
from tests.simulators.evaluation import report
from tests.simulators.hub import HubSimulator
from tests.simulators.tiny_llama import VOCABULARY, write_tiny_llama

REFUSALS = """
import json, sys, tempfile
sys.path.insert(0, sys.argv[1])
import read_lm_eval
from engine_protocol import EngineError
read_lm_eval.isolate(tempfile.mkdtemp())
said = []
for task in json.loads(sys.argv[2]):
    try:
        read_lm_eval.held(task) if "folder" in task else read_lm_eval.described(task["lm_eval"])
        said.append("nothing wrong")
    except EngineError as error:
        said.append(f"{error.what}: {error.why}")
print(json.dumps(said))
"""
pytestmark = pytest.mark.e2e
ARC = {"name": "arc", "lm_eval": "arc_challenge", "few_shot": 2, "metric": "acc", "chance": 0.25}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubSimulator]:
    """A hub with the dataset of ARC."""
    with arc_hub(monkeypatch) as simulator:
        yield simulator


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """A home of its own."""
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with open_workplace() as opened:
        yield opened


def served_with(**settings: Any) -> ServeConfig:
    """A serve configuration."""
    usual: dict[str, Any] = {"dtype": "float16", "max_model_len": 2048, "tensor_parallel_size": 1}
    usual |= {"gpu_memory_utilization": 0.9, "max_num_seqs": 8}
    return ServeConfig(**{**usual, **settings})


def written(folder: Path, hub: HubSimulator, *tasks: dict[str, Any]) -> str:
    """A suite file of these tasks, at the commit the dataset is at."""
    commit = hub.repositories[REPOSITORY].branches["main"]
    path = folder / "own.yaml"
    full = [{"dataset_commit": commit, "margin": 0.05, **task} for task in tasks]
    path.write_text(yaml.safe_dump({"name": "own", "description": "Own.", "tasks": full}))
    return str(path)


def arc_folder(tmp_path: Path) -> Path:
    """The dataset as it lies when it was fetched."""
    for path, data in arc_files().items():
        (tmp_path / "arc" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "arc" / path).write_bytes(data)
    return tmp_path / "arc"


def refusals(*tasks: dict[str, Any]) -> list[str]:
    """What the engine says to each, in its own environment: the first sentences."""
    python = prepare_engine("read_lm_eval", env=os.environ, log=print, progress=lambda *_: None).python
    done = subprocess.run(
        [str(python), "-c", REFUSALS, str(ENGINES), json.dumps(tasks)],
        check=True,
        capture_output=True,
        text=True,
    )
    said: list[str] = json.loads(done.stdout.splitlines()[-1])
    return said


def ask(place: Workplace, suite: Suite, folder: Path, model: Model, serve: ServeConfig) -> EvalReport:
    """What a model scores that is served with the tokenizer of a tiny Llama."""
    tokenizer = write_tiny_llama(folder / "model")
    served = Served("candidate", None, serve, None)  # type: ignore[arg-type] - no server is started of them
    with serving_model(model) as url:
        endpoint = Endpoint(url.removesuffix("/v1/completions"), "candidate", tokenizer)
        return ask_suite(place, served, endpoint, suite, 0, EvalReport({}), lambda _report: False)


def test_a_task_is_read_once_and_asked_offline(hub: HubSimulator, place: Workplace, tmp_path: Path) -> None:
    """Of its dataset one configuration; each score is its own item's, in the order of the dataset."""
    chat = {**ARC, "name": "chat", "few_shot": 0, "chat": True}
    suite = open_suite(place, written(tmp_path, hub, ARC, chat))
    assert [(task.name, task.items) for task in suite.tasks] == [("arc", 12), ("chat", 12)]
    assert "Question: word3 word4\nAnswer: word40" in suite.tasks[0].texts
    assert not [path for path in hub.requests if path.endswith((".py", "ARC-Easy/train.jsonl"))]
    hub.requests.clear()

    likes_a = Model(lambda prompt: prompt[-1] == VOCABULARY["word10"])
    serve = served_with(chat_template="word9 {{ messages[0]['content'] }}")
    report = ask(place, suite, tmp_path, likes_a, serve)
    for task in ("arc", "chat"):
        scores = {item.doc_id: item.value for item in report.items[task]}
        assert scores == {number: float(number % 4 == 0) for number in range(12)}
    assert open_suite(place, written(tmp_path, hub, ARC, chat)).digest == suite.digest
    assert hub.requests == []
    prompts = [prompt for body in likes_a.asked for prompt in body["prompt"]]
    asked_as_chat = [prompt for prompt in prompts if prompt[0] == VOCABULARY["word9"]]
    assert len(asked_as_chat) == len(prompts) / 2 == 12 * 4
    assert [task.cost.of(12).requests for task in suite.tasks if task.cost] == [12 * 4, 12 * 4]
    assert {len(prompt) for prompt in asked_as_chat} < {len(prompt) for prompt in prompts}


def test_prompts_that_are_cut_otherwise_do_not_pair(
    hub: HubSimulator, place: Workplace, tmp_path: Path
) -> None:
    """Served with other lengths, two models are asked the same as long as the prompts fit both."""
    suite = open_suite(place, written(tmp_path, hub, ARC))
    lengths, whole = (20, 21, 200, 2048), range(12)
    found = {
        length: ask(place, suite, tmp_path / str(length), Model(bool), served_with(max_model_len=length))
        for length in lengths
    }
    items = {length: found[length].items["arc"] for length in lengths}
    assert pair(items[2048], items[200]).drifted == ()
    assert pair(items[200], items[20]).drifted == tuple(whole)
    assert pair(items[20], items[21]).drifted == tuple(whole)
    assert pair(items[20], items[20]).drifted == ()


def test_answers_for_people_are_kept_whole(place: Workplace, tmp_path: Path) -> None:
    """To where the model ends them, over several lines and beyond what a page shows; nothing is scored."""
    (tmp_path / "rows.jsonl").write_text('{"q": "word1 word2"}\n{"q": "word3"}\n')
    task = {"name": "said", "dataset": "rows.jsonl", "prompt": "{{q}}", "metric": "verdict", "margin": 0.1}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"name": "own", "description": "Own.", "tasks": [{**task, "chat": True}]}))
    answer = "First.\n\n" + "and then " * 100
    model = Model(lambda _prompt: True, lambda _prompt: answer)
    serve = served_with(chat_template="word9 {{ messages[0]['content'] }}")
    report = ask(place, open_suite(place, str(path)), tmp_path, model, serve)
    assert [item.said for item in report.items["said"]] == [answer, answer]
    assert all(item.is_unjudged for item in report.items["said"])
    assert {body["max_tokens"] for body in model.asked} == {256}
    assert not [stop for body in model.asked for stop in body["stop"] if stop.isspace()]


def test_what_lm_eval_has_not_is_the_suites_mistake(tmp_path: Path) -> None:
    """Told with what there is, before any model is served."""
    task = named_request(NamedTask(**ARC, margin=0.1, dataset_commit="a" * 40), arc_folder(tmp_path))
    said = refusals(
        {"lm_eval": "arc_chalenge"},
        {"lm_eval": "mmlu"},
        {"lm_eval": "squadv2"},
        {"lm_eval": "humaneval"},
        {**task, "metric": "f1"},
        {**task, "higher_is_better": False},
        {**task, "filter": "strict"},
        {**task, "few_shot": 5},
        {**task, "cluster": "page"},
        {**task, "lm_eval": "sciq"},
        {**task, "lm_eval": "humaneval"},
        {**task, "lm_eval": "ifeval"},
    )
    expected = [
        "lm-eval has no task arc_chalenge: near to it: arc_challenge, ",
        "mmlu is a group of lm-eval's tasks: ",
        "The dataset of squadv2 cannot be pinned: its `class` gets it by code of its own",
        "nothing wrong",
        "lm-eval's task arc_challenge has no metric f1: it has acc, acc_norm",
        "lm-eval's task arc_challenge has a metric acc of which more is better: the suite takes ",
        "lm-eval's task arc_challenge has no filter strict: it has none",
        "lm-eval's task arc_challenge cannot show 5 worked examples: there are 5",
        "lm-eval's task arc_challenge has items without the field page: they have id, question, ",
        "lm-eval cannot read the dataset of sciq at its commit: ",
        "The code of lm-eval's task humaneval does not load: ",
        "The code of lm-eval's task ifeval does not load: ",
    ]
    assert [got[: len(sentence)] for got, sentence in zip(said, expected, strict=True)] == expected


def test_code_that_is_allowed_runs(hub: HubSimulator, place: Workplace, tmp_path: Path) -> None:
    """By the digest that the refusal prints, and only for that suite."""
    rows = (
        b'{"ctx_a": "word1", "ctx_b": "word2", "activity_label": "a", "endings": ["b", "c"], "label": "0"}\n'
    )
    files = {"train.jsonl": rows * 3, "validation.jsonl": rows * 4}
    commit = hub.push("datasets/Rowan/hellaswag", files)
    task = {**ARC, "lm_eval": "hellaswag", "few_shot": 0, "dataset_commit": commit}
    path = written(tmp_path, hub, task)
    with pytest.raises(UsageError) as refused:
        open_suite(place, path)
    digest = refused.value.next_step.partition("add ")[2].partition(" to")[0]
    suite = open_suite(place, path, (digest,))
    assert suite.tasks[0].items == 4
    assert suite.tasks[0].texts == ("a: word1 Word2 b",)
    with pytest.raises(UsageError, match="runs code of lm-eval"):
        open_suite(place, written(tmp_path, hub, {**task, "margin": 0.04}), (digest,))


def test_an_answer_longer_than_the_context_is_told(
    hub: HubSimulator, place: Workplace, tmp_path: Path
) -> None:
    """lm-eval would cut the prompts to nothing, and every model would fail alike."""
    rows = b'{"question": "word1", "answer": "word2 #### 3"}\n'
    files = "[{split: train, path: a*}, {split: test, path: b*}]"
    card = f"---\nconfigs: [{{config_name: main, data_files: {files}}}]\n---\n".encode()
    commit = hub.push("datasets/openai/gsm8k", {"README.md": card, "a.jsonl": rows * 9, "b.jsonl": rows * 4})
    task = {
        **ARC,
        "lm_eval": "gsm8k",
        "filter": "strict-match",
        "metric": "exact_match",
        "dataset_commit": commit,
    }
    suite = open_suite(place, written(tmp_path, hub, task))
    assert suite.tasks[0].cost
    assert suite.tasks[0].cost.of(4).generated_tokens == 4 * 256
    model = Model(lambda _prompt: True, lambda _prompt: " so #### 3")
    report = ask(place, suite, tmp_path, model, served_with())
    assert {item.value for item in report.items["arc"]} == {1.0}
    short = served_with(max_model_len=200)
    with pytest.raises(UsageError, match=r"writes up to 256 tokens.*raise serve\.max_model_len"):
        ask(place, suite, tmp_path / "again", model, short)


def test_an_api_is_asked_what_it_can_answer(place: Workplace, tmp_path: Path) -> None:
    """As chats: worked examples of a plain prompt in one message, of a chat in turns; nothing that ranks."""
    rows = [json.dumps({"q": f"{n} + 1 =", "a": str(n + 1), "c": [str(n + 1), "x"]}) for n in range(12)]
    (tmp_path / "sums.jsonl").write_text("\n".join(rows))
    plain = {
        "name": "plain",
        "dataset": "sums.jsonl",
        "kind": "generate",
        "prompt": "Sum: {{q}}",
        "answer": "a",
    }
    plain |= {"metric": "exact_match", "chance": 0.0, "margin": 0.05, "few_shot": 1}
    ranks = {**plain, "name": "ranks", "kind": "choices", "choices": "c", "metric": "acc", "chance": 0.5}
    tasks = [plain, {**plain, "name": "chat", "chat": True}, ranks]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"name": "own", "description": "Own.", "tasks": tasks}))
    suite = load_suite(tmp_path / "own.yaml")
    candidate = report(suite, {task.name: {*range(12)} for task in suite.tasks})
    chat = Chat(answer=lambda messages: f"{int(re.findall('[0-9]+', messages[-1]['content'])[-2]) + 1}\nSo.")
    with serving_chat(chat) as url:
        said = ask_api.fn(place, Api("frontier", url, "big-1"), suite, 0, candidate)
    assert said.failure == ""
    assert [(task.score.estimate if task.score else task.note) for task in said.tasks] == [1.0, 1.0, RANKED]
    first, *_, last = sorted(chat.asked, key=lambda body: len(body["messages"]))
    assert [message["role"] for message in first["messages"]] == ["user"]
    assert first["messages"][0]["content"].count("Sum: ") == 2
    assert [message["role"] for message in last["messages"]] == ["user", "assistant", "user"]
    assert (first["model"], first["temperature"], first["max_tokens"], first["stop"]) == (
        "big-1",
        0,
        32,
        ["\n"],
    )
    assert len(chat.asked) == 24
