"""The gates' page of a candidate in the run's folder: ``gate.html``, written anew after each gate.

A run that tries several recipes has several candidates: the second one's is ``gate-2.html``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from eval_suites.drift import Drift, drift_of, first_drifted
from eval_suites.flips import TaskFlips
from eval_suites.gate_page import GatePage, render
from eval_suites.plan import Plan
from eval_suites.report import EvalReport
from judging.verdict import Verdict
from registry.atomic import write_file
from registry.digest import Digest
from registry.home import Home
from tasks.kept_texts import texts_of
from tasks.workplace import Workplace


def write_gate_page(place: Workplace, page: GatePage) -> Path:
    """Write what is known by now; returns the file. Raises InfrastructureError when the disk refuses."""
    path = page_path(place, page.release)
    write_file(path, render(page, datetime.now(UTC)).encode())
    return path


def page_path(place: Workplace, release: Digest) -> Path:
    """Where this release's page is in the run, or would be: the first name that no other release has."""
    names = ("gate.html" if number == 1 else f"gate-{number}.html" for number in count(1))
    paths = (place.run.directory / name for name in names)
    return next(path for path in paths if not path.exists() or str(release) in path.read_text("utf-8"))


def with_texts(
    home: Home, flips: Sequence[TaskFlips], candidate: EvalReport, baselines: Mapping[str, EvalReport]
) -> tuple[TaskFlips, ...]:
    """The flips with what each side was asked and answered, where that is kept."""
    after = texts_of(home, candidate, [place for found in flips for place in found.places])
    before = {
        name: texts_of(home, report, [p for found in flips if found.baseline == name for p in found.places])
        for name, report in baselines.items()
    }
    return tuple(found.with_texts(before[found.baseline], after) for found in flips)


def drift_behind(
    home: Home, verdict: Verdict, plan: Plan, candidate: EvalReport, baselines: Mapping[str, EvalReport]
) -> Drift | None:
    """How the prompt differs that a quality verdict names first; None where none does, or it was not kept."""
    first = first_drifted(verdict, plan, candidate, baselines)
    if first is None:
        return None
    name, place = first
    before, after = (texts_of(home, report, [place]).get(place) for report in (baselines[name], candidate))
    return drift_of(name, place, before.prompt, after.prompt) if before and after else None
