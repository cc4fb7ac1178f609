"""Which texts are probed: the suite's own items, in an order that only the seed decides."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from eval_suites.probe_texts import LONGEST, probe_texts, texts_digest
from eval_suites.suite import Suite, find_suite, load_suite

SEEDS = st.integers(0, 2**32)
FEW = settings(max_examples=10)


def write(folder: Path, rows: list[dict[str, object]]) -> Suite:
    """A suite of one task whose items end in ``w``."""
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "own.yaml").write_text(
        "name: own\ndescription: Own.\ntasks:\n  - {name: write, dataset: rows.jsonl, kind: generate, "
        'prompt: "{{q}}", answer: w, metric: exact_match, chance: 0.0, margin: 0.1}\n'
    )
    return load_suite(folder / "own.yaml")


def test_each_item_is_joined_with_its_right_answer(facts: Suite) -> None:
    """By index for choices, as it is written for others."""
    texts = probe_texts(facts, 7)
    assert sorted(texts) == sorted(
        {f"Fact {n} is {'abcd'[n % 4]}" for n in range(600)} | {f"Fact {n} is x{n}" for n in range(600)}
    )


def test_an_answer_may_be_written_out(tmp_path: Path) -> None:
    """Instead of its index."""
    rows: list[dict[str, object]] = [{"q": f"Item {n}", "w": "yes"} for n in range(2)]
    assert sorted(probe_texts(write(tmp_path, rows), 0)) == ["Item 0 yes", "Item 1 yes"]


@FEW
@given(seed=SEEDS, other=SEEDS)
def test_the_seed_decides_the_order(facts: Suite, seed: int, other: int) -> None:
    """And nothing else."""
    assert probe_texts(facts, seed) == probe_texts(facts, seed)
    assert (probe_texts(facts, seed) == probe_texts(facts, other)) is (seed == other)


@FEW
@given(seed=SEEDS, tokens=st.integers(1, 10_000))
def test_fewer_tokens_are_the_beginning_of_more(facts: Suite, seed: int, tokens: int) -> None:
    """As few texts as have so many bytes times four."""
    texts, all_of_them = probe_texts(facts, seed, tokens), probe_texts(facts, seed)
    assert texts == all_of_them[: len(texts)]
    assert sum(map(len, texts[:-1])) < 4 * tokens
    assert texts == all_of_them or sum(map(len, texts)) >= 4 * tokens


def test_a_new_item_moves_no_other(tmp_path: Path) -> None:
    """What was measured for the others can be kept."""
    rows: list[dict[str, object]] = [{"q": f"Item {n}", "w": "yes"} for n in range(30)]
    before = probe_texts(write(tmp_path, rows[:-1]), 3)
    after = probe_texts(write(tmp_path, rows), 3)
    assert tuple(text for text in after if text in before) == before


def test_a_long_text_counts_for_what_is_looked_at(tmp_path: Path) -> None:
    """Servers are asked for the first tokens of it only."""
    rows: list[dict[str, object]] = [{"q": f"{n} " + "long " * 10_000, "w": "yes"} for n in range(9)]
    assert len(probe_texts(write(tmp_path, rows), 0, 3 * LONGEST)) == 3


def test_other_scripts_count_by_their_bytes(tmp_path: Path) -> None:
    """A Chinese character is three bytes, and most of a token."""
    rows: list[dict[str, object]] = [{"q": f"{n}" + "水" * 27, "w": "火"} for n in range(9)]
    assert len(probe_texts(write(tmp_path, rows), 0, 40)) == 2


def test_the_digest_is_of_the_texts_in_their_order() -> None:
    """What was said of them is kept by it."""
    assert texts_digest(["a", "b"]) == texts_digest(("a", "b"))
    assert len({texts_digest(texts) for texts in (["a", "b"], ["b", "a"], ["ab"], [])}) == 4


def test_shipped_suites_have_texts_to_probe() -> None:
    """Each of them more than the gate's fewest; where there is no right answer, prompts alone."""
    assert all(len(probe_texts(find_suite(name), 1)) > 100 for name in ("smoke", "quickstart", "reviewed"))
