"""What a load test measured, as facts for evidence and as Markdown for people. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from eval_suites.load_cost import Throughput, cost_lines
from eval_suites.load_figures import figures_of, to_words
from eval_suites.load_result import Trial
from eval_suites.load_runs import BATCHING, CANDIDATE, FACTORS, UNBATCHED, LoadRun
from eval_suites.load_spec import PERCENTILES, LoadSpec
from eval_suites.markdown import cell
from judging.unit import Unit
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
_HOW_TO_READ = (
    "Figures are medians of the repeats, and in brackets how far they may be off. What is said beside the"
    " baseline, or before and after, is taken within each repeat first: it need not follow from two medians."
)
_RATES = {"missed": "missed_rate", "turned away": "turned_away_rate", "broken": "broken_rate"}
_KEPT_UP = 0.9  # least pace under the most that was asked, as a share of the pace at the peak


@dataclass(frozen=True, kw_only=True)
class Death:
    """A server that stopped answering in a run, and how, as half a sentence.

    ``outside`` is whether something outside ended it: a signal, or the kernel for lack of memory.
    """

    run: LoadRun
    how: str
    outside: bool = False

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values."""
        return {"side": self.run.side, "step": self.run.step, "how": self.how, "outside": self.outside}


@dataclass(frozen=True)
class LoadReport:
    """All trials in their order, warm-ups left out; the servers that were lost, in theirs; and the most
    memory each side's server was seen to hold, in bytes: of this machine, and of its accelerators, where
    their driver told.
    """

    trials: tuple[Trial, ...]
    deaths: tuple[Death, ...] = ()
    memory: Mapping[str, int] = field(default_factory=dict)
    gpu_memory: Mapping[str, int] = field(default_factory=dict)

    def of(self, side: str, step: str) -> list[Trial]:
        """A side's trials at one step, by repeat."""
        return [t for t in self.trials if (t.run.side, t.run.step) == (side, step)]

    def deaths_of(self, side: str) -> list[Death]:
        """How often a side's server was lost."""
        return [death for death in self.deaths if death.run.side == side]

    @property
    def sides(self) -> list[str]:
        """The judged sides that were asked, in their order."""
        return list(dict.fromkeys(t.run.side for t in self.trials if t.run.step in FACTORS))


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
        "deaths": [death.to_json() for death in report.deaths],
        "batching": _batching(report),
    }


def to_markdown(load: LoadSpec, report: LoadReport, verdict: Verdict, gpus: int) -> str:
    """The report: answer first, the findings, then every figure of every side and step."""
    head = [f"# Load gate: {verdict.outcome}", "", _ANSWER[verdict.outcome], ""]
    findings = ["| What | Outcome | What was seen |", "|---|---|---|", *map(_finding_row, verdict.findings)]
    rest = [f"- {note}" for note in notes(load, report, gpus)]
    return "\n".join([*head, *findings, "", *_tables(load, report), *rest, ""])


def notes(load: LoadSpec, report: LoadReport, gpus: int) -> list[str]:
    """Sentences on figures, what broke, memory, the gain of batching, and cost on ``gpus`` accelerators."""
    return [
        _HOW_TO_READ,
        *_broken_off(report),
        *_held(report),
        *_gain_of_batching(report),
        *_cost(load, report, gpus),
    ]


def _finding_row(finding: Finding) -> str:
    return f"| {finding.name} | **{finding.outcome}** | {cell(finding.message)} |"


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
    for death in report.deaths:
        yield f"The server of the {death.run.side} {death.how}."


def _held(report: LoadReport) -> Iterator[str]:
    for side, size in report.memory.items():
        yield f"The server of the {side} held {Unit.BYTES.says(size)} at most."
    for side, size in report.gpu_memory.items():
        yield f"The server of the {side} held {Unit.BYTES.says(size)} of accelerators at most."


def _batching(report: LoadReport) -> dict[str, Any] | None:
    """How many requests both ways of serving got, and the seconds of each; None unless all were answered."""
    trials = [t for side in (CANDIDATE, UNBATCHED) for t in report.of(side, BATCHING) if not t.failed]
    if len(trials) < 2:
        return None
    together, alone = trials
    return {"requests": together.run.requests, "together": together.duration, "alone": alone.duration}


def _gain_of_batching(report: LoadReport) -> Iterator[str]:
    if found := _batching(report):
        yield (
            f"Batching: {found['requests']} requests were answered in {to_words(found['together'])} s, and"
            f" the same ones in {to_words(found['alone'])} s when served one at a time."
        )


def _cost(load: LoadSpec, report: LoadReport, gpus: int) -> Iterator[str]:
    return cost_lines(load, {side: _fastest(load, report, side) for side in report.sides}, gpus)


def _fastest(load: LoadSpec, report: LoadReport, side: str) -> Throughput:
    """At the load that gave the most. A side that kept up with all that it was asked was not saturated."""
    asked = {step: trials for step in FACTORS if (trials := report.of(side, step))}
    rates = {step: _medians(load, trials)["tokens_per_second"] or 0.0 for step, trials in asked.items()}
    step = max(rates, key=lambda step: rates[step])
    most = max(asked, key=lambda step: FACTORS[step])
    kept_up = step == most and _pace(asked[step]) >= _KEPT_UP * _pace(asked[next(iter(asked))])
    return Throughput(tokens_per_second=rates[step], step=step, saturated=not kept_up)


def _pace(trials: list[Trial]) -> float:
    """Answers per request while a run lasted; below 1 also where the last answers took their time."""
    return median(trial.e2e.size / trial.duration / trial.offered for trial in trials)


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


def _percent(share: float | None) -> str:
    return "-" if share is None else Unit.SHARE.says(share)
