"""What is judged before anything is published: the triple that would be released, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from eval_suites.suite import Suite
from flows.promote import target_of
from flows.spec import ReleaseSpec
from flows.translate import plan_of, recipes_of, serve_config_of
from registry.alias_log import get_aliases
from registry.digest import Digest
from registry.publish import get_version
from registry.version import ModelVersion, ServeConfig, release_digest
from tasks.calibration import check_calibration
from tasks.engine_choice import check_recipe
from tasks.fetch import Fetched, fetch
from tasks.named_tasks import open_suite
from tasks.provenance import record_fetch
from tasks.quantize import Quantized, choose
from tasks.recipe import Recipe
from tasks.record import check_means
from tasks.runtime import Installed, check_libnuma, install_runtime
from tasks.workplace import Workplace


@dataclass(frozen=True)
class Inputs:
    """What all candidates of a release share. ``recipes`` is empty where nothing is quantized."""

    spec: ReleaseSpec
    suite: Suite
    serve: ServeConfig
    recipes: tuple[Recipe, ...]
    source: Fetched
    installed: Installed
    production: ModelVersion | None


@dataclass(frozen=True)
class Candidate:
    """What is being judged: the inputs, and weights made of them."""

    inputs: Inputs
    weights: Quantized

    @property
    def release(self) -> Digest:
        """The identity that verdicts hang on."""
        runtime, gpu_class = self.inputs.installed.runtime.digest, self.inputs.spec.serve.gpu_class
        return release_digest(self.weights.manifest.set_digest, runtime, self.inputs.serve, gpu_class)


def prepare(place: Workplace, spec: ReleaseSpec) -> Inputs:
    """The inputs; what the spec gets wrong fails before anything is downloaded, or at least quantized."""
    serve = serve_config_of(spec.serve)
    recipes = tuple(recipes_of(spec.quantize))
    for recipe in recipes:
        check_recipe(recipe)
        check_calibration(recipe.calibration)
    plan_of(spec.rollout)
    check_libnuma()
    place.begin_store()
    if spec.rollout.auto:
        target_of(place, spec.registry.name, spec.rollout)  # a fleet or port it cannot have
    _live(place, spec)  # a registry or a key that cannot be read is said before anything is downloaded
    check_means(place)
    model = spec.model
    suite = open_suite(place, spec.evaluate.suite, spec.evaluate.allow_code, model.token_secret)
    source = fetch(place, model.uri, model.revision or "main", model.licences, model.token_secret)
    record_fetch(place, source)
    for recipe in recipes:  # a fallback that cannot work is no fallback
        choose(place, source.manifest, recipe, spec.serve.gpu_class)
    installed = install_runtime(place)
    return Inputs(spec, suite, serve, recipes, source, installed, _live(place, spec))


def _live(place: Workplace, spec: ReleaseSpec) -> ModelVersion | None:
    name = spec.registry.name
    aliases = get_aliases(place.store, place.trust, name, spec.serve.gpu_class)
    return get_version(place.store, f"{name}/{aliases.production}") if aliases.production else None
