"""Texts of evaluations: kept by their content, read for what is wanted, missed by nobody."""

from __future__ import annotations

import gzip
import json
import os

from eval_suites.report import EvalReport
from eval_suites.texts import ItemText
from registry.digest import Digest
from tasks.kept_texts import keep_texts, texts_of
from tests.simulators.released import TinyHome


def kept(at: TinyHome, *doc_ids: int) -> Digest:
    """A look of these items, as the engine leaves it."""
    path = at.home.root / "look"
    lines = [json.dumps({"task": "t", "doc_id": n, "prompt": f"Q{n}", "answer": f"A{n}"}) for n in doc_ids]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    found = keep_texts(at.home, path)
    assert not path.exists()
    return found


def test_texts_are_found_in_whichever_look_they_came(at: TinyHome) -> None:
    """Only those that are wanted; and being read, they stay."""
    first, second = kept(at, 0, 1), kept(at, 2, 3)
    os.utime(at.home.texts / first.hex, (0, 0))
    found = texts_of(at.home, EvalReport({}, 2, (first, second)), [("t", 1), ("t", 2), ("t", 9)])
    assert found == {("t", 1): ItemText("Q1", "A1"), ("t", 2): ItemText("Q2", "A2")}
    assert (at.home.texts / first.hex).stat().st_mtime > 0


def test_texts_that_were_collected_are_not_there(at: TinyHome) -> None:
    """And nothing breaks for it."""
    gone, there = kept(at, 0), kept(at, 1)
    (at.home.texts / gone.hex).unlink()
    found = texts_of(at.home, EvalReport({}, 2, (gone, there)), [("t", 0), ("t", 1)])
    assert found == {("t", 1): ItemText("Q1", "A1")}
