"""Which engine quantizes: the one a spec names, or the first that nothing speaks against. Pure.

``auto`` takes llm-compressor: it is kept up, and does every method. autoawq is archived, and is taken only
where llm-compressor has no mapping for the architecture and autoawq's own limits are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from registry.errors import UsageError
from tasks.engine_limits import Machine, Model, autoawq_objections, objections
from tasks.recipe import Recipe

AUTO = "auto"
ENGINES = ("llm-compressor", "autoawq")
"""In the order ``auto`` tries them."""


@dataclass(frozen=True)
class Choice:
    """An engine, and why it is this one."""

    engine: str
    why: str


def choose_engine(recipe: Recipe, model: Model, machine: Machine, gpu_class: str) -> Choice:
    """The engine for a recipe; raises UsageError with everything that speaks against each that could be."""
    candidates = ENGINES if recipe.engine == AUTO else (recipe.engine,)
    against = {engine: objections(engine, recipe, model, machine, gpu_class) for engine in candidates}
    for engine, reasons in against.items():
        if not reasons:
            return Choice(engine, _why(recipe, engine, against, machine))
    said = list(dict.fromkeys(reason for reasons in against.values() for reason in reasons))
    raise _cannot(" and ".join(candidates), f"this model by this recipe ({recipe.method})", said)


def check_recipe(recipe: Recipe) -> None:
    """Raises UsageError for a recipe that the engine it names could follow for no model."""
    if recipe.engine == "autoawq" and (reasons := [*autoawq_objections(recipe)]):
        raise _cannot(recipe.engine, f"by this recipe ({recipe.method})", reasons)


def _cannot(engines: str, what: str, reasons: list[str]) -> UsageError:
    next_step = "change what is named under quantize in the spec"
    return UsageError(f"{engines} cannot quantize {what}", why="; ".join(reasons), next_step=next_step)


def _why(recipe: Recipe, engine: str, against: dict[str, list[str]], machine: Machine) -> str:
    where = f"{len(machine.gpus)} GPU" if machine.gpus else "the processor"
    if recipe.engine != AUTO:
        return f"the spec names {engine}; it works on {where}"
    if engine == ENGINES[0]:
        return f"{engine} does {recipe.method} for this architecture; it works on {where}"
    return f"{engine}, since {'; '.join(against[ENGINES[0]])}; it works on {where}"
