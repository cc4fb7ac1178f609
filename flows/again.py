"""What a version is asked again, and by which limits: a spec's gates, or those that its evidence names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from eval_suites.load_spec import LoadSpec
from eval_suites.reviews import Reviews, read_reviews
from eval_suites.suite import Suite, shipped_suites
from eval_suites.suite_spec import STRICT_SUFFIX, Profile
from flows.candidate import Candidate, Inputs, live
from flows.spec import Evaluate, Gates
from flows.spec_gates import Fidelity
from flows.translate import apis_of, limits_of
from registry.counting import Case, suite_of
from registry.digest import Digest
from registry.errors import UsageError
from registry.evidence import Evidence
from registry.predicates import FIDELITY, LOAD, QUALITY
from registry.version import ModelVersion, release_digest
from tasks.ask_api import check_keys
from tasks.fetch import source_of
from tasks.judged_before import case_of
from tasks.keep_weights import weights_of
from tasks.named_tasks import open_suite
from tasks.quantize import quantized_before
from tasks.record import check_means
from tasks.runtime import Installed, check_libnuma, install_runtime
from tasks.workplace import Workplace

_NEXT = "say by what to judge: --spec SPEC, or --suite NAME_OR_FILE"


@dataclass(frozen=True)
class Question:
    """A version, the runtime it is to be judged on, and the gates."""

    version: ModelVersion
    gates: Gates
    suite: Suite
    reviews: Reviews
    installed: Installed

    @property
    def release(self) -> Digest:
        """What the verdicts will hang on."""
        old = self.version
        return release_digest(old.weights_set, self.installed.runtime.digest, old.serve, old.gpu_class)

    @property
    def facts(self) -> Mapping[str, Mapping[str, Any]]:
        """What evidence says that answers it, by kind."""
        evaluate, load = self.gates.evaluate, self.gates.load
        asked: dict[str, dict[str, Any]]
        suite = {"suite_digest": str(self.suite.digest), "seed": evaluate.seed}
        asked = {QUALITY: {**suite, "reviews": None, **self.reviews.facts}}
        if evaluate.fidelity and self.version.weights_set != self.version.source_set:
            asked[FIDELITY] = {"limits": asdict(limits_of(evaluate.fidelity))}
        if load:
            asked[LOAD] = {"load": load.model_dump(mode="json")}
        return asked


def prepare_question(
    place: Workplace, version: ModelVersion, suite: str | None, gates: Gates | None
) -> Question:
    """What to ask the version; ``suite`` goes before the one that the gates or its evidence name.

    Raises UsageError for what is named wrongly, and where only its evidence could name a suite and does not,
    or names another one than there is under that name now.
    """
    check_libnuma()
    live(place, version.name, version.gpu_class)  # what cannot be read is said before an engine is installed
    check_means(place)
    case = case_of(place, version)
    chosen = gates or gates_behind(case, suite)
    evaluate = chosen.evaluate.model_copy(update={"suite": suite} if suite else {})
    opened = open_suite(place, evaluate.suite, evaluate.allow_code).under(evaluate.profile)
    if not gates and not suite:
        _refuse_other(case, opened)
    chosen = chosen.model_copy(update={"evaluate": evaluate})
    reviews = read_reviews(evaluate.reviews, opened)
    return Question(version, chosen, opened, reviews, install_runtime(place))


def candidate_again(place: Workplace, question: Question) -> Candidate:
    """The version's weights on the question's runtime; nothing is quantized, and fetched only what is gone.

    Raises UsageError or Refused when weights or source cannot be had any more, or an API's key is not there.
    """
    check_keys(place, apis_of(question.gates.evaluate))
    old = question.version
    weights = weights_of(place, old)
    inputs = Inputs(
        old.name,
        old.gpu_class,
        question.gates,
        question.suite,
        question.reviews,
        old.serve,
        source_of(place, old),
        question.installed,
        live(place, old.name, old.gpu_class),
        old,
    )
    return Candidate(inputs, quantized_before(place, old, weights))


def gates_behind(case: Case, suite: str | None = None) -> Gates:
    """The gates that a version was published by, as its evidence names them; ``suite`` stands in for theirs.

    What another spec asked of the same weights is none of them. The scan is by the default policy: evidence
    does not tell. Raises UsageError where a suite is not told
    either, or is none that comes with Headgate.
    """
    limits, load = _facts(case, FIDELITY).get("limits"), _facts(case, LOAD).get("load")
    try:
        name = {"suite": suite} if suite else _suite(case)
        fidelity = {"fidelity": _fidelity(limits)} if limits else {}
        return Gates(
            evaluate=Evaluate(**name, **fidelity, seed=_facts(case, QUALITY).get("seed", 0)),
            load=LoadSpec.model_validate(load) if load else None,
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise UsageError(
            f"The evidence of {case.version.reference} does not say how it was judged",
            why=str(problem),
            next_step=_NEXT,
        ) from problem


def _suite(case: Case) -> dict[str, Any]:
    """The suite of the newest quality gate that the version was published by, and the profile."""
    name = next((suite_of(evidence) for evidence in _behind(case, QUALITY)), None)
    if "reviews" in _facts(case, QUALITY):
        raise ValueError("people judged its answers, and what they said is in a file of yours")
    if name in shipped_suites():
        return {"suite": name}
    plain = (name or "").removesuffix(STRICT_SUFFIX)
    if plain in shipped_suites():
        return {"suite": plain, "profile": Profile.STRICT}
    raise ValueError(f"its suite {name} is none that comes with Headgate" if name else "it names no suite")


def _fidelity(limits: Mapping[str, Any]) -> Fidelity:
    return Fidelity(
        max_kl=limits["kl"], min_agreement=limits["agreement"], max_perplexity_ratio=limits["perplexity"]
    )


def _facts(case: Case, kind: str) -> Mapping[str, Any]:
    """Of the newest record of a kind that the version was published by; none where there is none."""
    return next((evidence.facts for evidence in _behind(case, kind)), {})


def _behind(case: Case, kind: str) -> list[Evidence]:
    """What counts of a kind and release statements list, newest first; all that counts where none lists."""
    counting = [e for e in case.of(kind) if not case.doubt(e)]
    return [e for e in counting if not case.listed or str(e.digest) in case.listed]


def _refuse_other(case: Case, suite: Suite) -> None:
    before = _facts(case, QUALITY).get("suite_digest")
    if before != str(suite.digest):
        raise UsageError(
            f"The suite {suite.name} is not the one that {case.version.reference} was judged by",
            why=f"it was {before}, and is {suite.digest} now",
            next_step=_NEXT,
        )
