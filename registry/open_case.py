"""Puts together what a policy weighs: the evidence about a version, and whether it was live in this house."""

from __future__ import annotations

from datetime import datetime

from registry.alias_log import live_since
from registry.counting import Case
from registry.evidence import evidence_about
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion


def open_case(store: Store, version: ModelVersion, trust: Trust, now: datetime) -> Case:
    """The case of a version at a moment (an aware time); InfrastructureError for a damaged record."""
    found = tuple(evidence_about(store, version, trust))
    return Case(version, found, now, trust, live_since(store, trust, version))
