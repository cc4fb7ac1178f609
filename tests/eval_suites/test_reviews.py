"""What people said of answers: their file is read whole or refused by its line, and scores are means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval_suites.report import EvalReport
from eval_suites.reviews import Reviews, judged, read_reviews
from eval_suites.suite import Suite, find_suite
from eval_suites.suite_spec import ReviewedTask, ReviewMetric
from registry.digest import Digest
from registry.errors import UsageError
from tests.simulators.evaluation import report
from tests.simulators.reviews import answered, reviewed_suite

SHARE = st.floats(0, 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
VALUE = st.recursive(
    st.none() | st.booleans() | SHARE | st.text(max_size=5), lambda v: st.lists(v, max_size=2)
)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """A suite whose task is judged by verdicts."""
    return reviewed_suite(tmp_path)


def line(**changes: Any) -> dict[str, Any]:
    """A review, changed."""
    return {"prompt": "A question 1", "answer": "yes", "verdict": "good", **changes}


def written(folder: Path, *lines: Any) -> str:
    """A file of these lines: objects, or texts as they are."""
    path = folder / "reviews.jsonl"
    texts = (text if isinstance(text, str) else json.dumps(text) for text in lines)
    path.write_text("\n".join(texts), encoding="utf-8")
    return str(path)


def test_an_answer_scores_the_mean_of_its_reviewers(suite: Suite, tmp_path: Path) -> None:
    """Words and numbers are one scale; blanks are not judged yet; white space around texts does not count."""
    name = written(
        tmp_path,
        line(),
        line(verdict=0.5, reviewer="Ada"),
        line(verdict="bad", reviewer="Ben", answer=" yes\n"),
        "",
        line(answer="no", verdict=None),
        line(answer="no", verdict=" "),
        {"prompt": "A question 2", "answer": ""},
    )
    found = read_reviews(name, suite)
    assert found.scores == {(ReviewMetric.VERDICT, "A question 1", "yes"): 0.5}
    assert found.digest == Digest.of_file(Path(name))
    assert read_reviews(None, suite) == Reviews()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{", "line 2, is not a review. Expecting"),
        ("[]", "line 2, is not valid: "),
        ('{"prompt": "a", "prompt": "b", "answer": "c"}', "the key 'prompt' is given twice"),
        (line(verdit="good"), "line 2, is not valid: verdit: unknown key; did you mean 'verdict'?"),
        ({"prompt": "A", "verdict": "good"}, "line 2, is not valid: answer: is required"),
        (line(prompt=""), "line 2, is not valid: prompt: "),
        (line(answer=3), "line 2, is not valid: answer: "),
        (line(verdict="fine"), "verdict: must be good, bad or a number from 0 to 1, not 'fine'"),
        (line(verdict=1.5), "verdict: must be good, bad or a number from 0 to 1, not 1.5"),
        (line(verdict=True), "verdict: must be good, bad or a number from 0 to 1, not True"),
        (line(verdict=None, edit_rate="good"), "edit_rate: must be a number from 0 to 1, not 'good'"),
        (line(edit_rate=0.5), "line 2, is not valid: has both a verdict and an edit_rate"),
        (line(verdict=None, edit_rate=0.5), "line 2, has a `edit_rate`. the suite reviewed has no task"),
        (line(answer="yes "), "lines 1 and 2, are of the same answer by the same reviewer"),
    ],
)
def test_a_line_that_is_no_review_is_named(suite: Suite, tmp_path: Path, wrong: Any, said: str) -> None:
    """With what is wrong in it, before any model is fetched."""
    with pytest.raises(UsageError) as refused:
        read_reviews(written(tmp_path, line(), wrong), suite)
    assert said in str(refused.value)


def test_reviews_for_a_suite_that_asks_nobody_are_a_mistake(tmp_path: Path) -> None:
    """Though the file be empty; so is one that is not there."""
    for lines in ([], [line(verdict=None)], [line()]):
        with pytest.raises(UsageError, match="the suite smoke has no task that people judge"):
            read_reviews(written(tmp_path, *lines), find_suite("smoke"))
    with pytest.raises(UsageError, match=r"gone\.jsonl cannot be read"):
        read_reviews(str(tmp_path / "gone.jsonl"), reviewed_suite(tmp_path))


@pytest.mark.parametrize(("one", "other"), [(None, ""), ("", " \t"), ("Ada", " Ada\n")])
def test_a_reviewer_is_one_person_however_it_is_spaced(
    suite: Suite, tmp_path: Path, one: str | None, other: str
) -> None:
    """And a blank name is none: one person's two judgements are no mean of two people's."""
    with pytest.raises(UsageError, match="lines 1 and 2, are of the same answer by the same reviewer"):
        read_reviews(written(tmp_path, line(reviewer=one), line(reviewer=other, verdict="bad")), suite)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.dictionaries(st.tuples(TEXT, TEXT, TEXT), SHARE, max_size=8))
def test_scores_are_between_those_of_their_reviewers(
    suite: Suite, tmp_path: Path, given_: dict[tuple[str, str, str], float]
) -> None:
    """Whatever is written, by whomever; every judged answer has one."""
    lines = [line(prompt=p, answer=a, reviewer=r, verdict=score) for (p, a, r), score in given_.items()]
    by_answer: dict[Any, list[float]] = {}
    seen = set()
    for (prompt, answer, reviewer), score in given_.items():
        key = judged(ReviewMetric.VERDICT, prompt, answer)
        by_answer.setdefault(key, []).append(score)
        seen.add((key, reviewer.strip()))
    name = written(tmp_path, *lines)
    if len(seen) < len(given_):
        with pytest.raises(UsageError, match="by the same reviewer"):
            read_reviews(name, suite)
        return
    found = read_reviews(name, suite).scores
    assert found.keys() == by_answer.keys()
    assert all(
        min(by_answer[key]) - 1e-9 <= score <= max(by_answer[key]) + 1e-9 for key, score in found.items()
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.one_of(st.text(max_size=20), st.dictionaries(st.sampled_from([*line(), "edit_rate"]), VALUE)))
def test_any_line_is_read_or_told(suite: Suite, tmp_path: Path, any_line: Any) -> None:
    """No file of a user's is a traceback."""
    try:
        scores = read_reviews(written(tmp_path, any_line), suite).scores
    except UsageError:
        return
    assert all(0 <= score <= 1 for score in scores.values())


def test_items_have_the_scores_that_people_gave(suite: Suite) -> None:
    """By prompt and answer; what nobody judged has none, and what was scored before is scored anew."""
    found = answered(suite, lambda n: f" answer {n}\n")
    said = Reviews({judged(ReviewMetric.VERDICT, "A question 7", "answer 7"): 0.5})
    scored = said.applied(suite, found)
    by_id = {item.doc_id: item for item in scored.items["opinions"]}
    assert by_id[7].value == 0.5
    assert [n for n, item in by_id.items() if not item.is_unjudged] == [7]
    assert all(item.is_unjudged for item in Reviews().applied(suite, scored).items["opinions"])
    assert EvalReport.from_json(scored.to_json()).items["opinions"][7].said == " answer 7\n"
    assert (said.in_vain([scored]), said.in_vain([found]), Reviews().in_vain([found])) == (0, 1, 0)


def test_scores_of_other_tasks_stay(suite: Suite, facts: Suite) -> None:
    """People judge nothing there."""
    found = report(facts, {"choose": {1, 2}})
    assert Reviews().applied(facts, found) == found


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"few_shot": 2}, "tasks[0].few_shot: must be 0"),
        ({"higher_is_better": False, "chance": 0.5}, "of a `verdict` more is better"),
        ({"metric": "edit_rate", "higher_is_better": True, "chance": 0.0}, "of an `edit_rate` less"),
        ({"kind": "generate"}, "tasks[0].kind: unknown key"),
        ({"metric": "verdit"}, "tasks[0].metric: must be 'acc' or 'exact_match'"),
        ({"prompt": "{{other}}"}, "has no field 'other'"),
        ({"cluster": "topic"}, "has no field 'topic'"),
    ],
)
def test_a_task_that_makes_no_sense_is_told(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    """There is no right answer in it, so nothing that needs one."""
    with pytest.raises(UsageError) as refused:
        reviewed_suite(tmp_path, **fields)
    assert said in str(refused.value)


def test_the_metric_says_what_is_better(tmp_path: Path) -> None:
    """A model that knows nothing has the worst score; the profile strict halves the margin, as everywhere."""
    by_edits = reviewed_suite(tmp_path, metric="edit_rate").tasks[0].spec
    assert (by_edits.higher_is_better, by_edits.chance, by_edits.goodness(0.2)) == (False, 1.0, 0.8)
    by_verdicts = reviewed_suite(tmp_path).tasks[0].spec
    assert isinstance(by_verdicts, ReviewedTask)
    assert (by_verdicts.higher_is_better, by_verdicts.chance, by_verdicts.strict.margin) == (True, 0.0, 0.04)
