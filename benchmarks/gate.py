"""How often the quality gate is wrong, and how many items it takes, beside the rules that peers use.

10 000 releases are simulated per cell: 3000 items, a margin of 2 points, a baseline that is right on 75 % of
them; 2, 5 or 10 % of the items flip, and the candidate truly loses nothing, half the margin, the margin or
twice that. With clusters, items come in passages of 5 and flips fall on 30 % of the passages. The gate judges
as against the source, after each of 30 batches; the peers judge all items once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from judging.looks import boundaries
from judging.paired import Tally, dispersion_of

RELEASES = 10_000
ITEMS, LOOKS = 3000, 30
MARGIN, ALPHA, ACCURACY = 0.02, 0.05, 0.75
FLIPS = (0.02, 0.05, 0.1)
LOSSES = (0.0, MARGIN / 2, MARGIN, 2 * MARGIN)
PASSAGE, HIT = 5, 0.3

Counts = NDArray[np.int64]
Rule = Callable[[Counts, Counts, np.random.Generator], NDArray[np.bool_]]


@dataclass(frozen=True)
class Cell:
    """One kind of release: shares of items, and whether items share passages."""

    flips: float
    loss: float
    clustered: bool

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
    """Print the table, then the worst cell of each figure."""
    rng = np.random.default_rng(20261121)
    cells = [Cell(f, loss, c) for c, f, loss in product((False, True), FLIPS, LOSSES) if loss <= f]
    found = {cell: dict(judged(cell, rng)) for cell in cells}
    names = list(next(iter(found.values())))
    print(f"{'flips':>6}{'loss':>6}{'clusters':>10}  " + "".join(f"{name:>26}" for name in names))
    for cell, rates in found.items():
        shown = (f"{100 * r.accepted:8.2f} {100 * r.rejected:6.2f} {r.used:9.2f}" for r in rates.values())
        print(
            f"{cell.flips:6.2f}{cell.loss:6.2f}{cell.clustered!s:>10}  " + "".join(f"{s:>26}" for s in shown)
        )
    print("(per rule: % accepted, % rejected, share of the items used)")
    for name in names:
        prefix = "" if name == "headgate" else f"{name}_"
        at_margin = [r[name].accepted for cell, r in found.items() if cell.loss == MARGIN]
        lossless = [r[name].rejected for cell, r in found.items() if cell.loss == 0]
        print(f"{prefix}false_accept_at_margin_pct={100 * max(at_margin):.2f}")
        print(f"{prefix}false_reject_no_loss_pct={100 * max(lossless):.2f}")
    used = {cell: rates["headgate"].used for cell, rates in found.items() if cell.is_clear}
    print(f"samples_used_vs_fixed={max(used.values()):.2f}")
    print(f"samples_used_vs_fixed_unclustered={max(u for cell, u in used.items() if not cell.clustered):.2f}")


def judged(cell: Cell, rng: np.random.Generator) -> Iterator[tuple[str, Rates]]:
    """What each rule says of releases of this kind, all rules of the same ones."""
    lost, gained, squares = simulated(cell, rng)
    yield "headgate", ours(cell, lost, gained, squares)
    for name, accepts in PEERS.items():
        accepted = float(accepts(lost[:, -1], gained[:, -1], rng).mean())
        yield name, Rates(accepted, 1 - accepted)


def simulated(cell: Cell, rng: np.random.Generator) -> tuple[Counts, Counts, Counts]:
    """Items lost and gained up to each look, and the sum of squared differences of whole clusters."""
    size = PASSAGE if cell.clustered else 1
    shape = (RELEASES, ITEMS // size)
    hit = rng.random(shape) < HIT if cell.clustered else np.ones(shape, dtype=bool)
    flips = rng.binomial(size, cell.flips / (HIT if cell.clustered else 1), size=shape) * hit
    lost = rng.binomial(flips, (cell.flips + cell.loss) / (2 * cell.flips))
    gained = flips - lost
    return up_to_each_look(lost), up_to_each_look(gained), up_to_each_look((gained - lost) ** 2)


def up_to_each_look(values: Counts) -> Counts:
    """Sums over the first items of every release, a column per look."""
    batches: Counts = values.reshape(len(values), LOOKS, -1).sum(axis=2)
    return batches.cumsum(axis=1)


def ours(cell: Cell, lost: Counts, gained: Counts, squares: Counts) -> Rates:
    """The gate's own decision after each batch; the first one ends it."""
    looks = np.arange(1, LOOKS + 1)
    n = looks * (ITEMS // LOOKS)
    size = PASSAGE if cell.clustered else 1
    mean = (gained - lost) / n
    between = squares - n * size * mean**2
    tally = Tally(
        n=n,
        lost=lost,
        gained=gained,
        dispersion=dispersion_of(between, lost + gained - n * mean**2, size),
    )
    z = np.array(boundaries([look / LOOKS for look in looks], ALPHA))
    doubted = gained - lost > n * MARGIN  # against the source, more than a plausible gain: no pass yet
    doubted[:, -1] = False
    passed = first((tally.z_below(MARGIN) > z) & ~doubted)
    failed = first(tally.z_above(MARGIN) > z)
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
