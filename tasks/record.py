"""Record: what the judges said, as signed evidence on what they judged; and stop where they said no."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from eval_suites import fidelity_report, load_report, sanity_report
from eval_suites.answers import prompts_digest
from eval_suites.fidelity import Limits
from eval_suites.gate_page import GatePage
from eval_suites.gate_report import to_markdown
from eval_suites.load_curves import curves_of
from eval_suites.load_report import LoadReport
from eval_suites.load_spec import LoadSpec
from eval_suites.reviews import Reviews
from eval_suites.suite import Suite
from judging.verdict import Outcome, Verdict
from registry.alias_chain import check_mover
from registry.counting import dated, misdated, newest_of, suite_of
from registry.digest import Digest, canonical_json
from registry.errors import GateFailed, HeadgateError, InfrastructureError
from registry.evidence import Evidence, list_evidence, record
from registry.predicates import FIDELITY, LOAD, QUALITY, SANITY, SCAN, is_document
from registry.version import ServeConfig
from tasks.gate_page import write_gate_page
from tasks.refusal import fidelity_mending, mending, refusal
from tasks.review_sheet import sheet_path
from tasks.scan import Scanned
from tasks.summary import write_report
from tasks.workplace import Workplace


def check_means(place: Workplace) -> None:
    """Raises UsageError for a policy that cannot be read, or a key that could not move aliases in the end."""
    _ = place.policy
    key_id = place.signer.key_id  # before the trust: a key made just now is trusted
    check_mover(place.trust, key_id)


def record_quality(
    place: Workplace,
    page: GatePage,
    suite: Suite,
    seed: int,
    verdict: Verdict,
    reviews: Reviews,
    first: str = "",
) -> GatePage:
    """Keep the gate's verdict, report and page; unless it passed, raises the error of its outcome.

    ``first`` is what a person has to do with the sheet of answers before anything else, if there is one.
    """
    sheet = sheet_path(place) if first else None
    page = page.after(QUALITY, verdict)
    shown = write_gate_page(place, page)
    text = to_markdown(suite, verdict, page.beside, page.asked)
    write_report(place, "gate-report", f"{text}\nWith every flip: `{shown}`\n")
    beside = {"beside": [api.to_json() for api in page.beside]} if page.beside else {}
    facts = {"suite": suite.name, "suite_digest": str(suite.digest), "seed": seed, **reviews.facts, **beside}
    record_once(place, QUALITY, page.release, verdict, facts)
    if not verdict.passed:
        raise refusal("the quality gate", verdict, first or f"open {shown}", shown, sheet)
    return page


def record_sanity(
    place: Workplace, page: GatePage, source: Digest, verdict: Verdict, *, asked: bool, quantized: bool
) -> GatePage:
    """Keep the sanity gate's verdict on a release made of this source; raises unless it passed.

    On the release, not on its weights: what they answer depends on what serves them, and how. ``asked`` is
    whether it was served, or had failed by its files before; ``quantized``, whether its weights are not the
    source's own.
    """
    page = page.after(SANITY, verdict)
    shown = write_gate_page(place, page)
    write_report(place, "sanity-report", sanity_report.to_markdown(verdict))
    prompts = {"prompts": str(prompts_digest())} if asked else {}
    record_once(place, SANITY, page.release, verdict, {"source": str(source), **prompts})
    if not verdict.passed:
        raise refusal("the sanity gate", verdict, f"open {shown}; {mending(verdict, quantized)}", shown)
    return page


def record_fidelity(
    place: Workplace, page: GatePage, source: Digest, texts: Digest, limits: Limits, verdict: Verdict
) -> GatePage:
    """Keep the fidelity gate's verdict on a release made of this source; raises unless it passed.

    A candidate with probabilities that are no numbers is rejected like one that is too far from its source.
    """
    page = page.after(FIDELITY, verdict)
    shown = write_gate_page(place, page)
    write_report(place, "fidelity-report", fidelity_report.to_markdown(verdict))
    facts = {"source": str(source), "texts": str(texts), "limits": asdict(limits)}
    record_once(place, FIDELITY, page.release, verdict, facts)
    if not verdict.passed:
        raise refusal("the fidelity gate", verdict, f"open {shown}; {fidelity_mending(verdict)}", shown)
    return page


def record_load(
    place: Workplace,
    page: GatePage,
    serve: ServeConfig,
    load: LoadSpec,
    beside: Digest | None,
    report: LoadReport,
    verdict: Verdict,
) -> GatePage:
    """Keep the load gate's verdict on a release, and what it was measured on; raises unless it passed.

    ``beside`` is the release digest of what it was compared with, as that was served for it.
    """
    gpus = serve.tensor_parallel_size
    curves, notes = curves_of(load, load_report.summary(load, report)), load_report.notes(load, report, gpus)
    page = replace(page.after(LOAD, verdict), load=curves, load_notes=tuple(notes))
    shown = write_gate_page(place, page)
    text = load_report.to_markdown(load, report, verdict, gpus)
    write_report(place, "load-report", text)
    facts = {**load_report.to_facts(load, report), "beside": beside and str(beside)}
    record_once(place, LOAD, page.release, verdict, facts)
    if not verdict.passed:
        peak = "the peak and its objectives are under load in the spec"
        raise refusal("the load gate", verdict, f"open {shown}; {peak}", shown)
    return page


def load_borne(place: Workplace, release: Digest, load: LoadSpec, beside: Digest | None) -> Evidence | None:
    """The load gate's pass of this very load beside the same release, while it holds; else None.

    Hours of load are not asked again of a release that has proved to bear it.
    """
    now = datetime.now(UTC)
    found = list_evidence(place.store, release, place.trust)
    newest = newest_of((e for e in found if e.kind == LOAD and e.signer and not misdated(e, now)), LOAD)
    if newest is None or newest.verdict is None or not newest.verdict.passed:
        return None
    asked = {"load": load.model_dump(mode="json"), "beside": beside and str(beside)}
    at, limit = dated(newest), place.policy.max_age(LOAD)
    old = at is None or (limit is not None and now - at > limit)
    return newest if not old and asked.items() <= newest.facts.items() else None


def show_borne(place: Workplace, page: GatePage, load: LoadSpec, borne: Evidence) -> GatePage:
    """The page with what ``load_borne`` found, written."""
    note = f"This load was borne before, in the run {borne.facts.get('run')}, and was not asked again."
    curves = curves_of(load, borne.facts.get("medians", {}))
    page = replace(page.after(LOAD, borne.verdict or Verdict.of([])), load=curves, load_notes=(note,))
    write_gate_page(place, page)
    return page


def record_scan(place: Workplace, release: Digest, scanned: Scanned) -> None:
    """Keep the scan's verdict; raises GateFailed or InfrastructureError when policy does not let it go on."""
    record_once(place, SCAN, release, scanned.verdict, scanned.facts)
    if not scanned.acceptance.accepted:
        failed = scanned.verdict.outcome is Outcome.FAIL
        kind: type[HeadgateError] = GateFailed if failed else InfrastructureError
        raise kind(
            f"the scan said {scanned.verdict.outcome}; nothing was published",
            why=scanned.acceptance.message,
            next_step="update what it names, or mend the scanner; a waiver in the spec covers an error",
        )


def record_once(
    place: Workplace,
    kind: str,
    subject: Digest,
    verdict: Verdict | None,
    facts: Mapping[str, Any],
    also: Mapping[str, Digest] | None = None,
) -> Digest:
    """Sign and keep evidence, unless this key has said the very same and it still holds: again adds nothing.

    It holds until something else was said since, or the policy calls it too old. ``at`` and ``run`` are added
    to the facts (but to a document's), and not compared. Returns the digest of the record.
    """
    now = datetime.now(UTC)
    said = Evidence(kind=kind, subject=subject, verdict=verdict, facts=facts, also=also or {})
    kept = _kept(place, said, now)
    if kept and kept.digest:
        return kept.digest
    if not is_document(kind):
        made = {"at": now.isoformat(timespec="microseconds"), "run": place.run.run_id}
        said = replace(said, facts={**facts, **made})
    return record(place.store, place.signer, said)


def _kept(place: Workplace, said: Evidence, now: datetime) -> Evidence | None:
    """The record in which this key says the very same, if it still holds."""
    found = list_evidence(place.store, said.subject, place.trust)
    alike = [e for e in found if (e.kind, suite_of(e)) == (said.kind, suite_of(said))]
    counting = [e for e in alike if e.signer and not misdated(e, now)]
    same = [e for e in counting if (e.verdict, _lasting(e)) == (said.verdict, _lasting(said))]
    own = newest_of((e for e in same if e.key_id == place.signer.key_id), said.kind)
    at = dated(own) if own else None
    if at is None:  # nothing yet, or a document, which has no date
        return own
    limit = place.policy.max_age(said.kind)
    overruled = newest_of(counting, said.kind) not in same
    return None if overruled or (limit is not None and now - at > limit) else own


def _lasting(said: Evidence) -> dict[str, Any]:
    # As JSON reads it back: tuples and lists are the same there.
    plain: dict[str, Any] = json.loads(canonical_json(dict(said.facts)))
    return {name: value for name, value in plain.items() if name not in {"at", "run"}}
