"""A suite with tasks of lm-eval's: datasets at their commits, and no code without a word from the user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.digest import Digest
from registry.errors import InfrastructureError, Refused, UsageError
from tasks import engine_environment
from tasks.named_tasks import open_suite
from tasks.workplace import Workplace, open_workplace
from tests.simulators.arc import REPOSITORY, arc_files, arc_hub, arc_suite
from tests.simulators.hub import HubSimulator
from tests.simulators.project import ENGINES


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubSimulator]:
    """A hub with a dataset."""
    with arc_hub(monkeypatch) as simulator:
        yield simulator


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """A home of its own, and an lm-eval that knows two tasks."""
    monkeypatch.setattr(engine_environment, "ENGINES", ENGINES)
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with open_workplace() as opened:
        yield opened


def refusal(place: Workplace, path: str, kind: type[Exception] = UsageError) -> str:
    """What the user is told."""
    with pytest.raises(kind) as refused:
        open_suite(place, path)
    return str(refused.value)


def test_the_pinned_commit_is_what_is_asked(hub: HubSimulator, place: Workplace, tmp_path: Path) -> None:
    """Whatever the branch is at now; fetched once, and only what the task needs."""
    path = arc_suite(tmp_path, hub, cluster="answerKey")
    hub.push(REPOSITORY, arc_files(items=20))
    suite = open_suite(place, path)
    assert (suite.tasks[0].items, suite.tasks[0].clusters[:5]) == (12, ("A", "B", "C", "D", "A"))
    assert "word3 word4" in suite.tasks[0].texts
    assert not [asked for asked in hub.requests if asked.endswith((".py", "ARC-Easy/train.jsonl"))]
    hub.requests.clear()
    assert open_suite(place, path).digest == suite.digest
    assert hub.requests == []


def test_other_questions_are_another_suite(hub: HubSimulator, place: Workplace, tmp_path: Path) -> None:
    """Another commit, another number of worked examples: nothing kept for the one counts for the other."""
    before = open_suite(place, arc_suite(tmp_path, hub)).digest
    shots = open_suite(place, arc_suite(tmp_path, hub, few_shot=1)).digest
    hub.push(REPOSITORY, arc_files(items=20))
    assert len({before, shots, open_suite(place, arc_suite(tmp_path, hub)).digest}) == 3


@pytest.mark.parametrize("commit", ["main", "v1.0", "210d026", "210D026FAF9955653AF8916FAD021475A3F00453"])
def test_a_branch_is_refused(hub: HubSimulator, place: Workplace, tmp_path: Path, commit: str) -> None:
    """Before the hub is asked: it would be other questions one day."""
    said = refusal(place, arc_suite(tmp_path, hub, dataset_commit=commit))
    assert "tasks[0].dataset_commit: must be a commit with all its 40 hex digits" in said
    assert hub.requests == []


def test_a_commit_the_hub_has_not_is_the_suites_mistake(
    hub: HubSimulator, place: Workplace, tmp_path: Path
) -> None:
    """Not one of the network."""
    said = refusal(place, arc_suite(tmp_path, hub, dataset_commit="a" * 40))
    assert f"allenai/ai2_arc has no revision '{'a' * 40}'" in said
    assert "correct the commit" in said


def test_a_dataset_changed_on_its_way_is_refused(hub: HubSimulator, place: Workplace, tmp_path: Path) -> None:
    """As weights are: every file is compared with what the hub lists."""
    hub.corrupt["test-0.jsonl"] = 9
    assert "test-0.jsonl" in refusal(place, arc_suite(tmp_path, hub), Refused)


def test_a_hub_that_is_away_is_no_mistake_of_the_suite(
    hub: HubSimulator, place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Infrastructure; and no matter where the dataset is kept already."""
    path = arc_suite(tmp_path, hub)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached" in refusal(place, path, InfrastructureError)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    kept = open_suite(place, path).digest
    hub.go_away()
    assert open_suite(place, path).digest == kept


def test_code_is_refused_until_its_suite_is_allowed(
    hub: HubSimulator, place: Workplace, tmp_path: Path
) -> None:
    """The refusal names the function and the digest to allow; another suite with it is another digest."""
    path = arc_suite(tmp_path, hub, lm_eval="arc_coded")
    said = refusal(place, path)
    assert "arc: process_docs: arc/utils.process_docs" in said
    assert hub.requests == []
    digest = said.partition("add ")[2].partition(" to evaluate.allow_code")[0]
    assert Digest.parse(digest)
    assert open_suite(place, path, (digest,)).tasks[0].items == 12
    with pytest.raises(UsageError, match="runs code of lm-eval"):
        open_suite(place, arc_suite(tmp_path, hub, lm_eval="arc_coded", margin=0.04), (digest,))
