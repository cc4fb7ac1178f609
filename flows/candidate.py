"""What is judged before anything is published: the triple that would be released, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eval_suites.reviews import Reviews, read_reviews
from eval_suites.suite import Suite
from flows.promote import target_of
from flows.spec import Gates, ReleaseSpec
from flows.translate import apis_of, checked_recipes, plan_of, refuse_same, serve_config_of
from registry.alias_log import get_aliases
from registry.digest import Digest
from registry.manifest import Manifest
from registry.publish import get_version
from registry.version import ModelVersion, ServeConfig, release_digest
from tasks.ask_api import check_keys
from tasks.calibration import calibration_file
from tasks.fetch import Origin, fetch
from tasks.named_tasks import open_suite
from tasks.provenance import record_fetch
from tasks.quantize import Quantized, check_ignored, choose
from tasks.recipe import Recipe
from tasks.record import check_means
from tasks.runtime import Installed, check_libnuma, install_runtime
from tasks.workplace import Workplace


@dataclass(frozen=True)
class Inputs:
    """What all candidates of a release share.

    ``before`` is the version whose weights are judged again.
    """

    name: str
    gpu_class: str
    gates: Gates
    suite: Suite
    reviews: Reviews
    serve: ServeConfig
    source: Origin
    installed: Installed
    production: ModelVersion | None
    before: ModelVersion | None = None


@dataclass(frozen=True)
class Candidate:
    """What is being judged: the inputs, and weights made of them."""

    inputs: Inputs
    weights: Quantized

    @property
    def release(self) -> Digest:
        """The identity that verdicts hang on."""
        runtime, gpu_class = self.inputs.installed.runtime.digest, self.inputs.gpu_class
        return release_digest(self.weights.manifest.set_digest, runtime, self.inputs.serve, gpu_class)


def prepare(place: Workplace, spec: ReleaseSpec) -> Inputs:
    """The inputs; what the spec gets wrong fails before anything is downloaded, or at least quantized."""
    serve = serve_config_of(spec.serve)
    recipes = checked_recipes(spec.quantize)
    plan_of(spec.rollout)
    check_libnuma()
    place.begin_store()
    if spec.rollout.auto:
        target_of(place, spec.registry.name, spec.rollout)  # a fleet or port it cannot have
    name, gpu_class = spec.registry.name, spec.serve.gpu_class
    live(place, name, gpu_class)  # a registry or a key that cannot be read is said before any download
    check_means(place)
    model = spec.model
    for recipe in (r for r in recipes if r.calibration.startswith("hf://")):  # told before the model has come
        calibration_file(place, recipe.calibration, recipe.samples, model.token_secret)
    evaluate = spec.evaluate
    check_keys(place, apis_of(evaluate))
    suite = open_suite(place, evaluate.suite, evaluate.allow_code, model.token_secret).under(evaluate.profile)
    reviews = read_reviews(evaluate.reviews, suite)
    source = fetch(place, model.uri, model.revision or "main", model.licences, model.token_secret)
    record_fetch(place, source)
    _check_fit(place, source.manifest, recipes, gpu_class)
    return Inputs(
        name,
        gpu_class,
        spec.gates,
        suite,
        reviews,
        serve,
        source,
        install_runtime(place),
        live(place, name, gpu_class),
    )


def _check_fit(place: Workplace, source: Manifest, recipes: Sequence[Recipe], gpu_class: str) -> None:
    """Raises UsageError for a recipe that does not fit the model; a fallback that cannot work is none."""
    for recipe in recipes:
        check_ignored(place, source, recipe)
    engines = [choose(place, source, recipe, gpu_class).engine for recipe in recipes]
    refuse_same([replace(recipe, engine=engine) for recipe, engine in zip(recipes, engines, strict=True)])


def live(place: Workplace, name: str, gpu_class: str) -> ModelVersion | None:
    """The version in production, if there is one."""
    aliases = get_aliases(place.store, place.trust, name, gpu_class)
    return get_version(place.store, f"{name}/{aliases.production}") if aliases.production else None
