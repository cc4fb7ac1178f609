"""A suite is data: loaded whole, checked before any server starts, addressed by its content."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import yaml

from eval_suites.lm_eval_task import render_tasks
from eval_suites.probe_texts import probe_texts
from eval_suites.suite import (
    SHIPPED,
    EvalTask,
    Suite,
    find_suite,
    load_suite,
    read_suite,
    shipped_suites,
    suite_path,
)
from eval_suites.suite_spec import LocalTask, NamedTask, Profile, SuiteSpec
from registry.digest import Digest
from registry.errors import UsageError

EXAMPLES = Path(__file__).parents[1] / "fixtures" / "suites"
NAMED: dict[str, Any] = {
    "name": "arc",
    "lm_eval": "arc_challenge",
    "dataset_commit": "a" * 40,
    "few_shot": 0,
    "metric": "acc",
    "chance": 0.25,
    "margin": 0.03,
}
DIGEST = Digest("0" * 64)
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example suite that a test may edit."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "suites"))


def edited(folder: Path, edit: Edit) -> Path:
    """The example suite after an edit of its parsed form."""
    path = folder / "example.yaml"
    value = yaml.safe_load(path.read_text())
    edit(value)
    path.write_text(yaml.safe_dump(value))
    return path


def refusal(path: Path) -> str:
    """What the user is told about a suite that cannot be loaded."""
    with pytest.raises(UsageError) as caught:
        load_suite(path)
    return str(caught.value)


def digest_after(folder: Path, edit: Edit) -> Digest:
    """The digest of the edited suite."""
    return load_suite(edited(folder, edit)).digest


def test_the_example_loads_with_its_datasets() -> None:
    """The commented example is the format's documentation, so it has to load."""
    suite = load_suite(EXAMPLES / "example.yaml")
    assert [(task.name, task.items) for task in suite.tasks] == [("capitals", 8), ("sums", 6)]
    assert (suite.name, suite.alpha) == ("example", 0.05)
    assert suite.tasks[0].dataset == (EXAMPLES / "capitals.jsonl").resolve()


def test_the_smoke_suite_documents_every_key() -> None:
    """Those it does not need are there as comments."""
    text = (SHIPPED / "smoke.yaml").read_text()
    keys = {*SuiteSpec.model_fields, *LocalTask.model_fields}
    assert {key for key in keys if not re.search(rf"^[ #-]*{key}:", text, re.MULTILINE)} == set()


OFFLINE = ("chat", "code", "quickstart", "reviewed", "smoke")


def test_what_is_shipped() -> None:
    """Those over rows of our own ask nothing of the network."""
    offline = [name for name in shipped_suites() if not read_suite(suite_path(name)).named]
    assert tuple(offline) == OFFLINE
    assert {"knowledge", "long_context", "reasoning", "safety"} < {*shipped_suites()}


@pytest.mark.parametrize("name", OFFLINE)
def test_every_shipped_suite_is_found_by_its_name(name: str) -> None:
    """A suite in the package folder is a file and nothing else; it has the items it needs."""
    suite = find_suite(name)
    assert suite.name == name
    assert all(task.items >= 600 for task in suite.tasks)


@pytest.mark.parametrize("name", [name for name in shipped_suites() if name not in OFFLINE])
def test_shipped_tasks_of_lm_eval_are_pinned_with_their_source(name: str) -> None:
    """By a commit that somebody else can find too; loading one needs the network and lm-eval."""
    spec = read_suite(suite_path(name))
    assert (spec.name, len(spec.named)) == (name, len(spec.tasks))
    assert "pinned by" in suite_path(name).read_text()
    with pytest.raises(UsageError, match="is lm-eval's, and its dataset is not here"):
        find_suite(name)


@pytest.mark.parametrize("suite", ["chat", "code"])
def test_shipped_rows_are_what_their_program_writes(suite: str, tmp_path: Path) -> None:
    """Nobody edited them by hand."""
    program = run_path(str(SHIPPED.parent / "scripts" / f"make_{suite}_suite.py"))
    program["main"].__globals__["OUTPUT"] = tmp_path / "rows.jsonl"
    program["main"]()
    assert (tmp_path / "rows.jsonl").read_bytes() == (SHIPPED / f"{suite}.jsonl").read_bytes()


def test_a_suite_is_found_by_its_path() -> None:
    """A spec's paths are absolute by then."""
    assert find_suite(str(EXAMPLES / "example.yaml")).name == "example"


def test_an_unknown_name_lists_what_exists() -> None:
    """With a suggestion where there is one."""
    with pytest.raises(UsageError, match="no suite is called 'exmaple'"):
        find_suite("exmaple")
    for name in shipped_suites():
        with pytest.raises(UsageError, match=f"did you mean '{name}'"):
            find_suite(f"{name}x")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda s: s.update(alhpa=0.1), "alhpa: unknown key; did you mean 'alpha'?"),
        (lambda s: s["tasks"][0].update(margn=0.1), "tasks[0].margn: unknown key; did you mean 'margin'?"),
        (lambda s: s["tasks"][1].update(kind="generat"), "tasks[1].kind: "),
        (lambda s: s["tasks"][0].update(margin=0), "tasks[0].margin: input should be greater than or equal"),
        (lambda s: s["tasks"][0].update(margin=1e-160), "tasks[0].margin: input should be greater than or"),
        (lambda s: s["tasks"][0].update(strict_margin=1e-160), "tasks[0].strict_margin: input should be gr"),
        (lambda s: s["tasks"][0].update(margin="0.05"), "tasks[0].margin: input should be a valid number"),
        (lambda s: s["tasks"][0].update(max_samples=True), "tasks[0].max_samples: input should be a valid"),
        (lambda s: s.update(alpha=1e-16), "alpha: input should be greater than or equal to"),
        (lambda s: s.update(alpha="0.05"), "alpha: input should be a valid number, not '0.05'"),
        (
            lambda s: s["tasks"][0].update(chance=0.96, margin=0.05),
            "tasks[0]: `margin` 0.05 is all there is to lose above `chance: 0.96`",
        ),
        (lambda s: s["tasks"][0].update(margin=float("nan")), "tasks[0].margin: input should be a finite"),
        (lambda s: s["tasks"][0].update(metric="exact_match"), "tasks[0]: `kind: choices` is measured by"),
        (lambda s: s["tasks"][0].update(strict_margin=0.03), "tasks[0]: `strict_margin` has to be smaller"),
        (lambda s: s["tasks"][0].update(floor=0.5), "tasks[0]: `floor` has to be better than `chance`"),
        (lambda s: s["tasks"][0].update(chance=1.0), "tasks[0]: `chance: 1.0` is the best score there is"),
        (
            lambda s: s["tasks"][1].update(higher_is_better=False),
            "tasks[1]: `chance: 0.0` is the best score there is",
        ),
        (
            lambda s: s["tasks"][0].update(higher_is_better=False, floor=0.6),
            "tasks[0]: `floor` has to be better than `chance`",
        ),
        (lambda s: s.update(power=1.0), "power: input should be less than 1"),
        (lambda s: s["tasks"][0].pop("choices"), "tasks[0]: `choices` names the row's list"),
        (lambda s: s["tasks"][1].update(choices="choices"), "tasks[1]: `choices` names the row's list"),
        (lambda s: s["tasks"][1].update(name="capitals"), "task names are given twice: capitals"),
        (lambda s: s["tasks"][0].update(name="../x"), "tasks[0].name: string should match pattern"),
        (lambda s: s["tasks"][0].update(prompt="Capital?"), "tasks[0].prompt: names no field"),
        (lambda s: s["tasks"][0].update(prompt="{{question}} "), "tasks[0].prompt: ends in white space"),
        (lambda s: s["tasks"][0].update(prompt="{{question|upper}}"), "not '{{': a suite carries no code"),
        (lambda s: s["tasks"][0].update(prompt="{{{question}}}"), "not '{{': a suite carries no code"),
        (lambda s: s["tasks"][0].update(prompt="{{question}}{% x %}"), "not '{%': a suite carries no code"),
        (
            lambda s: s["tasks"][0].update(prompt="{{question.__class__}}"),
            "not '{{': a suite carries no code",
        ),
        (
            lambda s: s["tasks"].append(NAMED | {"dataset_commit": "main"}),
            "tasks[2].dataset_commit: must be a",
        ),
        (lambda s: s["tasks"].append(NAMED | {"promt": "x"}), "tasks[2].promt: unknown key"),
        (lambda s: s["tasks"].append({**NAMED, "few_shot": None}), "tasks[2].few_shot: input should be"),
        (
            lambda s: s["tasks"].append({k: NAMED[k] for k in NAMED if k != "few_shot"}),
            "tasks[2].few_shot: is",
        ),
        (lambda s: s.update(tasks=[]), "tasks: tuple should have at least 1 item"),
    ],
)
def test_what_makes_no_sense_is_named_by_its_path(folder: Path, edit: Edit, said: str) -> None:
    """One sentence per mistake, before any dataset is read."""
    assert said in refusal(edited(folder, edit))


def test_a_tag_in_a_suite_is_refused(folder: Path) -> None:
    """lm-eval would run the function a !function tag names."""
    path = folder / "example.yaml"
    path.write_text(path.read_text() + "    process_docs: !function helpers.load\n")
    assert "the tag !function is not allowed" in refusal(path)


def test_an_absent_dataset_is_named(folder: Path) -> None:
    """With the path that was looked for."""
    (folder / "sums.jsonl").unlink()
    assert f"the dataset {folder / 'sums.jsonl'} cannot be read" in refusal(folder / "example.yaml")


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.update(alpha=0.01),
        lambda s: s["tasks"][0].update(margin=0.02),
        lambda s: s["tasks"][0].update(prompt="Q: {{question}}"),
        lambda s: s["tasks"][0].update(floor=0.6),
        lambda s: s["tasks"][0].update(max_samples=5),
        lambda s: s["tasks"][0].update(higher_is_better=False),
        lambda s: s["tasks"].reverse(),
        lambda s: s["tasks"].pop(),
    ],
)
def test_what_changes_scores_or_verdicts_changes_the_digest(folder: Path, edit: Edit) -> None:
    """Another question, another margin: another suite."""
    before = load_suite(folder / "example.yaml").digest
    assert digest_after(folder, edit) != before


def test_a_changed_dataset_changes_the_digest(folder: Path) -> None:
    """Rows are part of the suite."""
    before = load_suite(folder / "example.yaml").digest
    rows = (folder / "sums.jsonl").read_text().splitlines()
    (folder / "sums.jsonl").write_text("\n".join(rows[1:]))
    assert load_suite(folder / "example.yaml").digest != before


def test_words_and_places_do_not_change_the_digest(folder: Path) -> None:
    """Comments, where files lie, what is for planning or for another profile: nothing about a model."""

    def reword(suite: dict[str, Any]) -> None:
        suite["description"] = "other words"
        suite["power"] = 0.9
        suite["tasks"][0]["strict_margin"] = 0.01
        suite["tasks"][1]["dataset"] = "renamed.jsonl"

    (folder / "sums.jsonl").rename(folder / "renamed.jsonl")
    assert digest_after(folder, reword) == load_suite(EXAMPLES / "example.yaml").digest


def test_strict_is_another_suite_with_half_the_margins(folder: Path) -> None:
    """Or a task's own strict margin; its name keeps the evidence of the two apart."""
    suite = load_suite(edited(folder, lambda s: s["tasks"][0].update(strict_margin=0.01, floor=0.6)))
    strict = suite.under(Profile.STRICT)
    assert (strict.name, strict.alpha) == ("example-strict", 0.025)
    assert [task.spec.margin for task in strict.tasks] == [0.01, 0.015]
    assert [task.margin for task in strict.spec.tasks] == [0.01, 0.015]
    assert strict.tasks[0].spec.floor == 0.6
    assert strict.digest != suite.digest
    assert suite.under(Profile.STANDARD) is suite


def test_strict_never_loosens_the_error_rate(folder: Path) -> None:
    """A suite may be stricter than its profile."""
    suite = load_suite(edited(folder, lambda s: s.update(alpha=0.01)))
    assert suite.under(Profile.STRICT).alpha == 0.01


def test_a_suite_is_a_value(folder: Path) -> None:
    """Equal files give equal digests, wherever they are."""
    suites: list[Suite] = [load_suite(EXAMPLES / "example.yaml"), load_suite(folder / "example.yaml")]
    assert len({suite.digest for suite in suites}) == 1
    assert SHIPPED.name == "eval_suites"


def test_one_cluster_is_refused(folder: Path) -> None:
    """What fails together cannot be told from one of them."""
    with (folder / "sums.jsonl").open() as lines:
        rows = [{**json.loads(line), "page": 7} for line in lines]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = edited(folder, lambda s: s["tasks"][1].update(cluster="page"))
    assert "all items of the task 'sums' are of one cluster" in refusal(path)


def test_what_is_asked_is_what_was_read(folder: Path) -> None:
    """Whatever becomes of the file: the digest is of the rows that are asked, and of those compared on."""
    suite, texts = load_suite(folder / "example.yaml"), probe_texts(load_suite(folder / "example.yaml"), 0)
    read = (folder / "sums.jsonl").read_bytes()
    (folder / "sums.jsonl").write_text('{"question": "Other?", "answer": "Yes"}\n')
    assert render_tasks(suite, folder)["sums.jsonl"] == read
    assert probe_texts(suite, 0) == texts


def test_max_samples_has_room_for_a_whole_cluster(folder: Path) -> None:
    """Half a passage is never asked, whoever brings the rows."""
    task = EvalTask(NamedTask.model_validate({**NAMED, "max_samples": 2}), folder, DIGEST, 6, (*"aaabbb",))
    path = folder / "named.yaml"
    path.write_text(yaml.safe_dump({"name": "named", "description": "x", "tasks": [NAMED]}))
    with pytest.raises(UsageError, match="no room for its largest cluster, 3 items"):
        load_suite(path, lambda _task: task)
