"""How often the quality gate is wrong, and how many items it takes, beside the rules that peers use.

10 000 releases are simulated per cell: 3000 items, a margin of 2 points, a baseline that is right on 75 % of
them; 2, 5 or 10 % of the items flip, and the candidate truly loses nothing, half the margin, the margin or
twice that. Items stand alone, or come in passages of 5: these flip as a whole, or the loss falls on passages
that are lost as a whole, while other items flip each by itself. The gate judges as against the source, after
each of 30 batches; the peers judge all items once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from judging.looks import boundaries
from judging.paired import Tally, dispersion_of

RELEASES = 10_000
ITEMS, LOOKS = 3000, 30
MARGIN, ALPHA, ACCURACY = 0.02, 0.05, 0.75
FLIPS = (0.02, 0.05, 0.1)
LOSSES = (0.0, MARGIN / 2, MARGIN, 2 * MARGIN)
PASSAGE = 5
ALONE, WHOLE, DAMAGED = "alone", "whole", "damaged"

Counts = NDArray[np.int64]
Rule = Callable[[Counts, Counts, np.random.Generator], NDArray[np.bool_]]


@dataclass(frozen=True)
class Cell:
    """One kind of release: shares of items, and how these come together."""

    flips: float
    loss: float
    kind: str

    @property
    def size(self) -> int:
        """How many items a passage has."""
        return 1 if self.kind == ALONE else PASSAGE

    @property
    def is_clear(self) -> bool:
        """No loss at few flips, or twice the margin: what should not take a whole suite."""
        return (self.loss == 0 and self.flips <= 0.05) or self.loss >= 2 * MARGIN


@dataclass(frozen=True)
class Rates:
    """Shares of the releases that a rule accepts and rejects, and of the items that it took."""

    accepted: float
    rejected: float
    used: float = 1.0


def main() -> None:
    """Print the table, then the worst cell of each figure; ``--json`` writes these."""
    rng = np.random.default_rng(20261121)
    kinds = (ALONE, WHOLE, DAMAGED)
    cells = [Cell(f, loss, kind) for kind, f, loss in product(kinds, FLIPS, LOSSES) if loss <= f]
    found = {cell: dict(judged(cell, rng)) for cell in cells}
    names = list(next(iter(found.values())))
    print(f"{'flips':>6}{'loss':>6}{'items':>9}  " + "".join(f"{name:>26}" for name in names))
    for cell, rates in found.items():
        shown = (f"{100 * r.accepted:8.2f} {100 * r.rejected:6.2f} {r.used:9.2f}" for r in rates.values())
        print(f"{cell.flips:6.2f}{cell.loss:6.2f}{cell.kind:>9}  " + "".join(f"{s:>26}" for s in shown))
    print("(per rule: % accepted, % rejected, share of the items used)")
    figures = worst(found)
    for figure, value in figures.items():
        print(f"{figure}={value:.2f}")
    if "--json" in sys.argv:
        Path("gate.json").write_text(json.dumps(figures))


def worst(found: dict[Cell, dict[str, Rates]]) -> dict[str, float]:
    """Each figure in the cell where it is worst; those of the gate also without passages."""
    figures: dict[str, float] = {}
    for name in next(iter(found.values())):
        prefix = "" if name == "headgate" else f"{name}_"
        rates = {cell: by_rule[name] for cell, by_rule in found.items()}
        at_margin = [r.accepted for cell, r in rates.items() if cell.loss == MARGIN]
        figures[f"{prefix}false_accept_at_margin_pct"] = 100 * max(at_margin)
        lossless = [r.rejected for cell, r in rates.items() if cell.loss == 0]
        figures[f"{prefix}false_reject_no_loss_pct"] = 100 * max(lossless)
    ours = {cell: rates["headgate"] for cell, rates in found.items()}
    for suffix, kinds in (("", (ALONE, WHOLE, DAMAGED)), ("_unclustered", (ALONE,))):
        used = [r.used for cell, r in ours.items() if cell.is_clear and cell.kind in kinds]
        figures[f"samples_used_vs_fixed{suffix}"] = max(used)
        lossless = [1 - r.accepted - r.rejected for c, r in ours.items() if c.loss == 0 and c.kind in kinds]
        figures[f"inconclusive_no_loss_pct{suffix}"] = 100 * max(lossless)
    return figures


def judged(cell: Cell, rng: np.random.Generator) -> Iterator[tuple[str, Rates]]:
    """What each rule says of releases of this kind, all rules of the same ones."""
    lost, gained = simulated(cell, rng, RELEASES)
    seen = up_to_each_look(lost), up_to_each_look(gained)
    yield "headgate", rated(*ours(cell.size, *seen, up_to_each_look((gained - lost) ** 2)))
    for name, accepts in PEERS.items():
        accepted = float(accepts(seen[0][:, -1], seen[1][:, -1], rng).mean())
        yield name, Rates(accepted, 1 - accepted)


def simulated(cell: Cell, rng: np.random.Generator, releases: int) -> tuple[Counts, Counts]:
    """How many items each passage of each release lost and gained."""
    chance = rng.random((releases, ITEMS // cell.size))
    if cell.kind == DAMAGED:
        hit = chance < cell.loss
        others = rng.binomial(cell.size, (cell.flips - cell.loss) / (1 - cell.loss), size=chance.shape)
        lost = rng.binomial(others, 0.5)
        return np.where(hit, cell.size, lost), np.where(hit, 0, others - lost)
    loses = (cell.flips + cell.loss) / 2
    return cell.size * (chance < loses), cell.size * ((chance >= loses) & (chance < cell.flips))


def up_to_each_look(values: Counts) -> Counts:
    """Sums over the first items of every release, a column per look."""
    batches: Counts = values.reshape(len(values), LOOKS, -1).sum(axis=2)
    return batches.cumsum(axis=1)


def ours(size: int, lost: Counts, gained: Counts, squares: Counts) -> tuple[Counts, Counts]:
    """After which batch the gate's own decision passes each release, and fails it; LOOKS for never.

    ``squares`` of what whole passages gained less what they lost, summed as the others are.
    """
    looks = np.arange(1, LOOKS + 1)
    n = looks * (ITEMS // LOOKS)
    mean = (gained - lost) / n
    dispersion = dispersion_of(squares - n * size * mean**2, lost + gained - n * mean**2)
    tally = Tally(n=n, lost=lost, gained=gained, dispersion=dispersion, size=float(size))
    z = np.array(boundaries([look / LOOKS for look in looks], ALPHA))
    doubted = gained - lost > n * MARGIN  # against the source, more than a plausible gain: no pass yet
    doubted[:, -1] = False
    return first((tally.z_below(MARGIN) > z) & ~doubted), first(tally.z_above(MARGIN) > z)


def rated(passed: Counts, failed: Counts) -> Rates:
    """The first of the two ends it."""
    ended = np.minimum(np.minimum(passed, failed) + 1, LOOKS)
    return Rates(
        float((passed < failed).mean()), float((failed < passed).mean()), float(ended.mean() / LOOKS)
    )


def first(crossed: NDArray[np.bool_]) -> Counts:
    """The index of the first look that crossed, or the number of looks."""
    found: Counts = np.where(crossed.any(axis=1), crossed.argmax(axis=1), LOOKS)
    return found


def _accuracies(
    lost: Counts, gained: Counts, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of baseline and candidate: a flip was right before or after, and 75 % of the other items are right."""
    same = rng.binomial(ITEMS - lost - gained, ACCURACY)
    return (same + lost) / ITEMS, (same + gained) / ITEMS


def fixed(lost: Counts, gained: Counts, rng: np.random.Generator) -> NDArray[np.bool_]:
    """At most one point lost (Model-Optimizer's gate_compare.py)."""
    before, after = _accuracies(lost, gained, rng)
    accepted: NDArray[np.bool_] = before - after <= 0.01
    return accepted


def overlap(lost: Counts, gained: Counts, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The two runs' standard errors, as lm-eval prints them, overlap."""
    before, after = _accuracies(lost, gained, rng)
    errors = [np.sqrt(rate * (1 - rate) / ITEMS) for rate in (before, after)]
    accepted: NDArray[np.bool_] = after + errors[1] >= before - errors[0]
    return accepted


def recovery(lost: Counts, gained: Counts, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The ratio of the two, rounded to two digits, is at least 0.95 (llm-compressor's own tests)."""
    before, after = _accuracies(lost, gained, rng)
    accepted: NDArray[np.bool_] = np.round(after / before, 2) >= 0.95
    return accepted


PEERS: dict[str, Rule] = {"fixed_1pct": fixed, "se_overlap": overlap, "recovery_95": recovery}

if __name__ == "__main__":
    main()
