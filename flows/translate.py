"""From the spec's sections to the values judges, engines and fleets take. Reads the files a spec names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval_suites.fidelity import Limits
from fleet.plan import RolloutPlan
from flows.spec import Evaluate, Quantize, QuantizeEngine, Rollout, Serve
from flows.spec_gates import Fidelity, Scan
from images import scan_policy, scan_report
from registry.errors import UsageError
from registry.version import ServeConfig
from tasks.ask_api import Api
from tasks.calibration import check_calibration
from tasks.engine_choice import check_recipe
from tasks.recipe import GROUPED, METHODS, Recipe


def recipes_of(quantize: Quantize) -> list[Recipe]:
    """The recipes in the order they are tried; no recipe for the engine ``none``.

    Raises UsageError for one that no method can be, and for a fallback that is another recipe again.
    """
    if quantize.engine is QuantizeEngine.NONE:
        return []
    first = quantize.model_dump(mode="json", exclude={"fallbacks"})
    stated = [first, *(f.model_dump(mode="json", exclude_none=True) for f in quantize.fallbacks)]
    recipes = [_recipe({**first, "bits": None, **values}) for values in stated]
    refuse_same(recipes)
    return recipes


def checked_recipes(quantize: Quantize) -> tuple[Recipe, ...]:
    """The same, as far as they can be judged without the model: their methods and their calibration texts."""
    recipes = tuple(recipes_of(quantize))
    for recipe in recipes:
        check_recipe(recipe)
        check_calibration(recipe.calibration, recipe.samples)
    return recipes


def refuse_same(recipes: Sequence[Recipe]) -> None:
    """Raises UsageError for a fallback that is another recipe again; the first recipe is no fallback."""
    for number, recipe in enumerate(recipes):
        if (before := recipes.index(recipe)) < number:
            raise _same_again(number - 1, before - 1)


def _same_again(fallback: int, before: int) -> UsageError:
    other = f"quantize.fallbacks[{before}]" if before >= 0 else "the recipe it is to follow"
    return UsageError(
        f"quantize.fallbacks[{fallback}] is the same recipe as {other}",
        why="what a gate rejected once it rejects again",
        next_step="say in it what differs, by a key that its method has, or remove it",
    )


def _recipe(values: dict[str, Any]) -> Recipe:
    method = values["method"]
    values["bits"] = values["bits"] or METHODS[method]
    if values["bits"] != METHODS[method]:
        raise UsageError(
            f"{method} writes {METHODS[method]}-bit weights, and the spec asks for {values['bits']} bits",
            next_step="leave bits out under quantize, or choose another method",
        )
    if method not in GROUPED:
        values |= {"group_size": None, "zero_point": None}
    return Recipe(**{**values, "ignore": tuple(values["ignore"])})


def serve_config_of(serve: Serve) -> ServeConfig:
    """The serve configuration, with the chat template's text; raises UsageError when it cannot be read."""
    values = serve.model_dump(mode="json", exclude={"gpu_class", "chat_template", "extra_args"})
    return ServeConfig(**values, chat_template=_text(serve.chat_template), extra_args=tuple(serve.extra_args))


def limits_of(fidelity: Fidelity) -> Limits:
    """The limits of the fidelity gate."""
    return Limits(
        kl=fidelity.max_kl, agreement=fidelity.min_agreement, perplexity=fidelity.max_perplexity_ratio
    )


def scan_policy_of(scan: Scan) -> scan_policy.ScanPolicy:
    """The scan policy."""
    return scan_policy.ScanPolicy(
        fail_on=tuple(scan_report.Severity(severity) for severity in scan.fail_on),
        ignore_unfixed=scan.ignore_unfixed,
        max_database_age_days=scan.max_db_age_days,
    )


def waiver_of(scan: Scan) -> scan_policy.Waiver | None:
    """The waiver, counted from today: the day of the scan it covers."""
    if scan.waiver is None:
        return None
    return scan_policy.Waiver(
        owner=scan.waiver.owner,
        reason=scan.waiver.reason,
        since=datetime.now(UTC).date(),
        valid_for_days=int(scan.waiver.valid_for.removesuffix("d")),
    )


def plan_of(rollout: Rollout) -> RolloutPlan:
    """The rollout plan; raises UsageError when it cannot work."""
    values = rollout.model_dump(exclude={"auto", "fleet", "port"})
    return RolloutPlan(**values)


def _text(path: str | None) -> str | None:
    if not path:  # a form sends an emptied field as ""
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the chat template {path} cannot be read",
            why=str(error),
            next_step="correct serve.chat_template in the spec",
        ) from error


def apis_of(evaluate: Evaluate) -> list[Api]:
    """The APIs that a candidate is shown beside."""
    return [Api(**section.model_dump()) for section in evaluate.compare]
