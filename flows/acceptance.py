"""Recipe after recipe: the first candidate that the gates let through."""

from __future__ import annotations

from dataclasses import dataclass

from eval_suites.gate_page import GatePage
from flows.candidate import Candidate, Inputs
from flows.gates import judge_candidate
from flows.spec import ReleaseSpec
from flows.translate import recipes_of
from registry.errors import GateFailed
from tasks.progress import report
from tasks.provenance import record_quantize
from tasks.quantize import NOT_QUANTIZED, Quantized, quantize
from tasks.recipe import Recipe
from tasks.workplace import Workplace


@dataclass(frozen=True)
class Accepted:
    """A candidate that its gates let through, what they said, and the recipes that they rejected before."""

    candidate: Candidate
    page: GatePage
    rejected: tuple[tuple[Recipe, GateFailed], ...] = ()


def accept(place: Workplace, spec: ReleaseSpec, inputs: Inputs) -> Accepted:
    """The first candidate that no gate rejects, recipe after recipe; what they share is made once.

    Raises GateFailed when the last one is rejected too. A gate that could not tell, or not measure, has
    rejected nothing: that ends it at once.
    """
    recipes = recipes_of(spec.quantize)
    if not recipes:
        candidate = Candidate(inputs, Quantized(inputs.source.manifest, NOT_QUANTIZED))
        return Accepted(candidate, judge_candidate(place, candidate))
    rejected: list[tuple[Recipe, GateFailed]] = []
    for recipe in recipes:
        source = inputs.source.manifest
        weights = quantize(place, source, recipe, inputs.gpu_class, spec.model.token_secret)
        record_quantize(place, source, weights)
        candidate = Candidate(inputs, weights)
        try:
            return Accepted(candidate, judge_candidate(place, candidate), tuple(rejected))
        except GateFailed as refusal:
            rejected.append((recipe, refusal))
            report("quantize", f"{recipe} was rejected: {refusal.why}")
    raise _all_rejected(place, rejected)


def _all_rejected(place: Workplace, rejected: list[tuple[Recipe, GateFailed]]) -> GateFailed:
    if len(rejected) == 1:
        return rejected[0][1]
    return GateFailed(
        f"all {len(rejected)} recipes were rejected; nothing was published",
        why="; ".join(f"{recipe}: {refusal.why}" for recipe, refusal in rejected),
        next_step=f"open the pages gate*.html in {place.run.directory}; add a recipe that keeps more to"
        " quantize.fallbacks, or choose another model",
        files=rejected[-1][1].files,
    )
