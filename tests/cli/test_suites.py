"""``headgate suites``: which there are, and what one can tell and costs, without a model or a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
    assert (task["name"], task["items"]) == ("arc", 12)


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
