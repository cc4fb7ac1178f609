"""``headgate suites``: which there are, and what one can tell and costs, without a model or a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import main
from eval_suites.suite import find_suite, shipped_suites
from eval_suites.suite_spec import Profile
from tasks import engine_environment
from tests.simulators.arc import arc_hub, arc_suite
from tests.simulators.project import ENGINES

EXAMPLE = Path(__file__).parents[1] / "fixtures" / "suites" / "example.yaml"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What a command that ended well told a program."""
    assert main([*arguments, "--json"]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert value.pop("ok")
    return value


def test_the_shipped_suites_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With tasks, items and what they are about."""
    listed = said(capsys, "suites")["suites"]
    assert [suite["name"] for suite in listed] == shipped_suites()
    smoke = next(suite for suite in listed if suite["name"] == "smoke")
    assert smoke["tasks"] == {"general": 628}
    assert "capitals" in smoke["description"]
    assert main(["suites"]) == 0
    assert "628" in capsys.readouterr().out


def test_a_suite_is_checked_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Its digest, and per task what it can tell at each rate of flips, and what it costs."""
    told = said(capsys, "suites", "check", "smoke")
    assert (told["suite"], told["digest"]) == ("smoke", str(find_suite("smoke").digest))
    (task,) = told["tasks"]
    assert [power["flips"] for power in task["power"]] == [0.02, 0.05, 0.1]
    assert all(0 < p["passes"] <= 1 and p["needed"] > 0 and p["finds"] > 0.03 for p in task["power"])
    assert task["cost"]["requests"] == 4 * 628


def test_a_profile_is_checked_as_a_spec_would_take_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Half the margins, so more items, which is said."""
    told = said(capsys, "suites", "check", "smoke", "--profile", "strict")
    assert told["digest"] == str(find_suite("smoke").under(Profile.STRICT).digest)
    assert (told["suite"], told["alpha"], told["tasks"][0]["margin"]) == ("smoke-strict", 0.025, 0.015)
    assert main(["suites", "check", "smoke", "--profile", "strict"]) == 0
    shown = capsys.readouterr()
    assert "1.5 %" in shown.out
    assert "general has 628 items. Where 5 % of them flip, it takes about 2" in shown.err


def test_a_file_is_checked_by_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    """A domain owner's suite is a file and nothing else."""
    told = said(capsys, "suites", "check", str(EXAMPLE))
    assert {task["name"]: task["items"] for task in told["tasks"]} == {"capitals": 8, "sums": 6}


def test_the_chance_to_pass_the_whole_suite_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Every task has to pass, so it is that of each one times that of the others."""
    told = said(capsys, "suites", "check", str(EXAMPLE))
    capitals, sums = (task["power"] for task in told["tasks"])
    for whole, one, other in zip(told["all_tasks"], capitals, sums, strict=True):
        assert whole == {"flips": one["flips"], "passes": pytest.approx(one["passes"] * other["passes"])}
    assert main(["suites", "check", str(EXAMPLE)]) == 0
    assert "all tasks" in capsys.readouterr().out
    assert main(["suites", "check", "smoke"]) == 0
    assert "all tasks" not in capsys.readouterr().out


def clustered(folder: Path, clusters: int, size: int) -> str:
    """A suite file with one task over so many clusters of this size."""
    rows = [
        {"q": f"Is {n} odd?", "c": ["no", "yes"], "a": n % 2, "p": n // size} for n in range(clusters * size)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = {"name": "odd", "dataset": "rows.jsonl", "kind": "choices", "prompt": "{{q}}", "choices": "c"}
    task |= {"answer": "a", "metric": "acc", "chance": 0.5, "margin": 0.05, "cluster": "p"}
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"name": "own", "description": "Own.", "tasks": [task]}))
    return str(path)


@pytest.mark.parametrize(
    ("clusters", "size", "warned"),
    [
        (400, 5, []),
        (40, 5, ["odd has 40 clusters.", "worth 10 items, and its largest cluster has 5"]),
        (60, 20, ["worth 60 items, and its largest cluster has 20"]),
    ],
)
def test_few_or_large_clusters_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], clusters: int, size: int, warned: list[str]
) -> None:
    """To programs and to people."""
    suite = clustered(tmp_path, clusters, size)
    (task,) = said(capsys, "suites", "check", suite)["tasks"]
    assert task["clusters"] == {"count": clusters, "largest": size}
    told = [warning for warning in task["warnings"] if "cluster" in warning]
    assert len(told) == len(warned)
    assert all(words in warning for words, warning in zip(warned, told, strict=True))
    assert main(["suites", "check", suite]) == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert all(warning in shown for warning in told)


def test_a_suite_that_runs_code_is_checked_once_its_digest_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The refusal names the digest and the option that takes it."""
    monkeypatch.setattr(engine_environment, "ENGINES", ENGINES)
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with arc_hub(monkeypatch) as hub:
        suite = arc_suite(tmp_path, hub, lm_eval="arc_coded")
        assert main(["suites", "check", suite, "--json"]) == 2
        refusal = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]["next"]
        digest = refusal.partition("add ")[2].partition(" to evaluate.allow_code")[0]
        assert "--allow-code" in refusal
        (task,) = said(capsys, "suites", "check", suite, "--allow-code", digest)["tasks"]
    assert (task["name"], task["items"], task["cost"]["requests"]) == ("arc", 12, 48)


@pytest.mark.parametrize(
    ("suite", "told"), [("smokee", "did you mean 'smoke'"), ("./none.yaml", "none.yaml")]
)
def test_a_suite_that_is_not_there_is_a_usage_error(
    suite: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words, and as an object."""
    assert main(["suites", "check", suite, "--json"]) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert json.loads(shown.out)["ok"] is False
