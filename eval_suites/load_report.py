"""What a load test measured, as facts for evidence and as Markdown for people. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from eval_suites.load_cost import cost_lines
from eval_suites.load_figures import figures_of, to_words
from eval_suites.load_result import Trial
from eval_suites.load_runs import CANDIDATE, FACTORS, PEAK, UNBATCHED
from eval_suites.load_spec import PERCENTILES, LoadSpec
from judging.verdict import Finding, Outcome, Verdict

_ANSWER = {
    Outcome.PASS: "Passed: the release bears the declared peak, and gets through three times of it.",
    Outcome.FAIL: "Failed: users would wait too long, or get nothing.",
    Outcome.INCONCLUSIVE: "Inconclusive: the runs do not decide whether the release bears the load.",
    Outcome.ERROR: "Error: the measurement itself is broken, so the release was not judged.",
}
_COLUMNS: Mapping[str, str] = {
    **{f"{name} {p}": f"{name.lower()}_{p}_ms" for name in ("TTFT", "TPOT", "e2e") for p in PERCENTILES},
    "goodput": "goodput",
    "answers/s": "answers_per_second",
    "tokens/s": "tokens_per_second",
}
_RATES = {"missed": "missed_rate", "turned away": "turned_away_rate", "broken": "broken_rate"}
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class LoadReport:
    """All trials in their order, warm-ups left out; which sides' servers stopped answering, and how, as half
    a sentence; and the most memory each side's server was seen to hold, in bytes: of this machine, and of its
    accelerators, where their driver told.
    """

    trials: tuple[Trial, ...]
    lost: Mapping[str, str] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)
    gpu_memory: Mapping[str, int] = field(default_factory=dict)

    def of(self, side: str, step: str) -> list[Trial]:
        """A side's trials at one step, by repeat."""
        return [t for t in self.trials if (t.run.side, t.run.step) == (side, step)]

    @property
    def sides(self) -> list[str]:
        """The sides that were asked, in their order."""
        return list(dict.fromkeys(trial.run.side for trial in self.trials))


def summary(load: LoadSpec, report: LoadReport) -> dict[str, dict[str, dict[str, float | None]]]:
    """Medians over the repeats, by side, step and figure; None where nothing was answered."""
    return {
        side: {step: _medians(load, trials) for step in FACTORS if (trials := report.of(side, step))}
        for side in report.sides
    }


def to_facts(load: LoadSpec, report: LoadReport) -> dict[str, Any]:
    """The facts that evidence of the kind ``load`` keeps."""
    return {
        "load": load.model_dump(mode="json"),
        "medians": summary(load, report),
        "memory": dict(report.memory),
        "gpu_memory": dict(report.gpu_memory),
        "broken": {side: dict(_broken(report, side)) for side in report.sides},
        "lost": dict(report.lost),
    }


def to_markdown(load: LoadSpec, report: LoadReport, verdict: Verdict, gpus: int) -> str:
    """The report: answer first, the findings, then every figure of every side and step."""
    head = [f"# Load gate: {verdict.outcome}", "", _ANSWER[verdict.outcome], ""]
    findings = ["| What | Outcome | What was seen |", "|---|---|---|", *map(_finding_row, verdict.findings)]
    rest = [f"- {note}" for note in notes(load, report, gpus)]
    return "\n".join([*head, *findings, "", *_tables(load, report), *rest, ""])


def notes(load: LoadSpec, report: LoadReport, gpus: int) -> list[str]:
    """Sentences on what broke, memory, the gain of batching, and cost on ``gpus`` accelerators."""
    return [
        *_broken_off(report),
        *_held(report),
        *_gain_of_batching(load, report),
        *_cost(load, report, gpus),
    ]


def _finding_row(finding: Finding) -> str:
    message = " ".join(finding.message.replace("|", "\\|").split())
    return f"| {finding.name} | **{finding.outcome}** | {message} |"


def _tables(load: LoadSpec, report: LoadReport) -> Iterator[str]:
    yield f"Medians of {load.repeats} runs; times in milliseconds. Goodput is what kept both objectives."
    yield ""
    columns = ("Load", "Side", *_COLUMNS, *_RATES)
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    found = summary(load, report)
    for step in FACTORS:
        for side in report.sides:
            if figures := found[side].get(step):
                cells = [*(_cell(figures[name]) for name in _COLUMNS.values())]
                cells += [_percent(figures[name]) for name in _RATES.values()]
                yield f"| {step} | {side} | {' | '.join(cells)} |"
    yield ""


def _broken_off(report: LoadReport) -> Iterator[str]:
    for side in report.sides:
        if broken := _broken(report, side):
            yield f"Broke off on the {side}: " + "; ".join(f"{n} times {why}" for why, n in broken.items())
    for side, how in report.lost.items():
        yield f"The server of the {side} {how}."


def _held(report: LoadReport) -> Iterator[str]:
    for side, size in report.memory.items():
        yield f"The server of the {side} held {size // _MEBIBYTE} MiB at most."
    for side, size in report.gpu_memory.items():
        yield f"The server of the {side} held {size // _MEBIBYTE} MiB of accelerators at most."


def _gain_of_batching(load: LoadSpec, report: LoadReport) -> Iterator[str]:
    batched, alone = (_medians(load, report.of(side, PEAK)) for side in (CANDIDATE, UNBATCHED))
    if batched and alone and UNBATCHED not in report.lost:
        yield (
            f"Batching: {_cell(batched['tokens_per_second'])} tokens per second at the peak, and"
            f" {_cell(alone['tokens_per_second'])} when requests are served one at a time."
        )


def _cost(load: LoadSpec, report: LoadReport, gpus: int) -> Iterator[str]:
    fastest = {side: _fastest(load, report, side) for side in report.sides if side != UNBATCHED}
    return cost_lines(load, fastest, gpus)


def _fastest(load: LoadSpec, report: LoadReport, side: str) -> float:
    """Tokens per second at the load that gave the most."""
    medians = [_medians(load, report.of(side, step)).get("tokens_per_second") for step in FACTORS]
    return max((rate for rate in medians if rate), default=0.0)


def _medians(load: LoadSpec, trials: list[Trial]) -> dict[str, float | None]:
    found = [figures_of(trial, load) for trial in trials]
    names = found[0] if found else ()
    medians = {name: median(figures[name] for figures in found) for name in names}
    return {name: value if math.isfinite(value) else None for name, value in medians.items()}


def _broken(report: LoadReport, side: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for trial in report.trials:
        if trial.run.side == side:
            total.update(trial.broken)
    return total


def _cell(value: float | None) -> str:
    return "-" if value is None else to_words(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"
