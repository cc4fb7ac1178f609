"""Puts together what a policy weighs: the evidence about a version, and whether it was live in this house."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from registry.alias_history import Log, read_log
from registry.counting import Case
from registry.evidence import Evidence, evidence_about
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion


def open_case(
    store: Store,
    version: ModelVersion,
    trust: Trust,
    now: datetime,
    *,
    found: Iterable[Evidence] | None = None,
    log: Log | None = None,
) -> Case:
    """The case of a version at a moment (an aware time), on the evidence and the log that have been read.

    What has not been is read here; raises InfrastructureError for a damaged record of evidence.
    """
    evidence = tuple(evidence_about(store, version, trust) if found is None else found)
    log = log or read_log(store, trust, version.name, version.gpu_class)
    return Case(version, evidence, now, trust, log.live_since(version), log.wrong)
