"""The release flow: fetch, quantize, gate, pack, scan, publish - and promote, when the spec says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow

from eval_suites.gate import judge
from eval_suites.report import EvalReport
from eval_suites.suite import Suite, find_suite
from flows.ending import told
from flows.promote import promote_if_new
from flows.spec import ReleaseSpec, anchor
from flows.translate import plan_of, recipe_of, scan_policy_of, serve_config_of, waiver_of
from images.packer import image_labels
from judging.verdict import Verdict
from registry.alias import Alias
from registry.alias_log import get_aliases
from registry.digest import Digest
from registry.errors import HeadgateError
from registry.manifests import load_manifest, save_manifest
from registry.publish import get_version
from registry.version import ModelVersion, ServeConfig, VersionDraft, release_digest
from tasks.attest import attest
from tasks.build import build
from tasks.evaluate import evaluate, keep_report, report_of
from tasks.fetch import Fetched, fetch
from tasks.provenance import record_fetch, record_quantize
from tasks.publish import point, publish
from tasks.quantize import Quantized, quantize
from tasks.record import check_means, record_quality, record_scan
from tasks.roll_out import check_port
from tasks.runtime import Installed, check_libnuma, install_runtime
from tasks.scan import Scanned, scan
from tasks.serving import Served
from tasks.summary import summarize_release
from tasks.workplace import Workplace, open_workplace


@dataclass(frozen=True)
class Candidate:
    """What is being judged: the triple that would be released, where it came from, and what is live."""

    spec: ReleaseSpec
    suite: Suite
    serve: ServeConfig
    source: Fetched
    weights: Quantized
    installed: Installed
    production: ModelVersion | None

    @property
    def release(self) -> Digest:
        """The identity that verdicts hang on."""
        runtime, gpu_class = self.installed.runtime.digest, self.spec.serve.gpu_class
        return release_digest(self.weights.manifest.set_digest, runtime, self.serve, gpu_class)


@flow(name="release")
def release(spec: ReleaseSpec) -> dict[str, Any]:
    """Take a model from a hub to a version with evidence, and on to the fleet when ``rollout.auto`` is set.

    Args:
        spec: One release - what to fetch, and how to quantize, serve, judge and roll it out.
    """
    try:
        return _release(anchor(spec, Path.cwd()))
    except HeadgateError as error:
        return told(error)


def _release(spec: ReleaseSpec) -> dict[str, Any]:
    with open_workplace() as place:
        candidate = prepare(place, spec)
        quality = judge_quality(place, candidate)
        record_quality(place, candidate.suite, candidate.release, quality)
        scanned = _scan(place, candidate)
        record_scan(place, candidate.release, scanned)
        image = build(place, candidate.weights.manifest, _labels(candidate), _repository(spec))
        version = publish(place, _draft(place, candidate, image))
        attest(place, version, candidate.weights.manifest, candidate.installed.runtime)
        point(place, Alias.CANDIDATE, version, "its gates passed")
        result = summarize_release(place, version, quality, scanned)
    if spec.rollout.auto:
        result["rollout"] = promote_if_new(version, spec.rollout)
    return result


def prepare(place: Workplace, spec: ReleaseSpec) -> Candidate:
    """Everything that is judged later; what the spec gets wrong fails before anything is downloaded."""
    suite, serve = find_suite(spec.evaluate.suite), serve_config_of(spec.serve)
    plan_of(spec.rollout)
    check_libnuma()
    if spec.rollout.auto:
        check_port(place.home, spec.rollout.fleet, spec.rollout.port)
    _live(place, spec)  # a registry or a key that cannot be read is said before anything is downloaded
    check_means(place)
    source = fetch(place, spec.model.uri, spec.model.revision)
    record_fetch(place, source)
    weights = quantize(place, source.manifest, spec.quantize.engine, recipe_of(spec.quantize))
    record_quantize(place, source.manifest, weights)
    installed = install_runtime(place)
    return Candidate(spec, suite, serve, source, weights, installed, _live(place, spec))


def _live(place: Workplace, spec: ReleaseSpec) -> ModelVersion | None:
    name = spec.registry.name
    aliases = get_aliases(place.store, place.trust, name, spec.serve.gpu_class)
    return get_version(place.store, f"{name}/{aliases.production}") if aliases.production else None


def judge_quality(place: Workplace, candidate: Candidate) -> Verdict:
    """The candidate against the unquantized source, and against what is live."""
    suite, seed, installed = candidate.suite, candidate.spec.evaluate.seed, candidate.installed
    reports: dict[str, EvalReport] = {}
    if candidate.weights.manifest != candidate.source.manifest:
        source = Served("source", candidate.source.manifest, candidate.serve, installed)
        reports["source"] = evaluate(place, source, suite, seed)
    if live := candidate.production:
        # As it is served now: after an upgrade, what the new runtime loses must not be measured away.
        if as_live := report_of(place, live.release_digest, suite, seed):
            reports["production"] = as_live
        else:
            weights = load_manifest(place.store, live.weights_manifest)
            same = live.runtime == installed.runtime.digest
            served = Served("production", weights, live.serve, installed)
            name = "production" if same else "production-on-new-runtime"
            reports[name] = evaluate(place, served, suite, seed)
    ships = Served("candidate", candidate.weights.manifest, candidate.serve, installed)
    measured = evaluate(place, ships, suite, seed)
    keep_report(place, candidate.release, suite, seed, measured)
    return judge(suite, measured, reports)


def _scan(place: Workplace, candidate: Candidate) -> Scanned:
    section = candidate.spec.scan
    installed = candidate.installed
    return scan(place, installed.folder, installed.runtime, scan_policy_of(section), waiver_of(section))


def _labels(candidate: Candidate) -> dict[str, str]:
    return image_labels(
        source_uri=candidate.source.uri,
        source_commit=candidate.source.commit,
        weights_set=candidate.weights.manifest.set_digest,
        serve=candidate.serve.digest,
        runtime=candidate.installed.runtime.digest,
    )


def _repository(spec: ReleaseSpec) -> str:
    return spec.image.repository or spec.registry.name


def _draft(place: Workplace, candidate: Candidate, image: Digest) -> VersionDraft:
    return VersionDraft(
        name=candidate.spec.registry.name,
        source_uri=candidate.source.uri,
        source_commit=candidate.source.commit,
        source_manifest=save_manifest(place.store, candidate.source.manifest),
        source_set=candidate.source.manifest.set_digest,
        weights_manifest=save_manifest(place.store, candidate.weights.manifest),
        weights_set=candidate.weights.manifest.set_digest,
        recipe=candidate.weights.recipe,
        engine=candidate.weights.engine,
        runtime=candidate.installed.runtime.digest,
        serve=candidate.serve,
        image=image,
        gpu_class=candidate.spec.serve.gpu_class,
        parent=candidate.production.reference if candidate.production else None,
    )
