"""Finds what was begun and not ended, or has come apart, in the registry, each with its repair, if any.

Nothing here vouches for anything: a version without its proof is released again, an alias that nobody
trusted signed for is a person's to vouch for. What is only bytes is garbage collection's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from registry.alias import Alias
from registry.alias_chain import Chain
from registry.alias_history import faults, history, log_of
from registry.alias_log import get_aliases, lags, move_alias, places, roll_forward
from registry.attachment import Attachment
from registry.bundle import Signer
from registry.errors import HeadgateError
from registry.evidence import list_evidence
from registry.lease import free_stale, holder_of
from registry.oci_client import OciClient
from registry.oci_layout import OciLayout
from registry.predicates import ALIAS_MOVE, RELEASE
from registry.problem import Mend, Problem
from registry.publish import read_versions
from registry.reconcile_attached import AttachedReconciler
from registry.reconcile_index import IndexReconciler
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion


@dataclass(frozen=True)
class Reconciler:
    """A registry, and on whose behalf it is mended: ``run`` is the id that repairs are recorded under."""

    store: Store
    signer: Signer
    trust: Trust
    layout: OciLayout
    who: str
    run: str
    now: datetime
    connect: Callable[[Attachment], OciClient]

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, one after the other; changes nothing. Raises HeadgateError."""
        found, damaged = read_versions(self.store)
        yield from (Problem(record.problem, record.next_step) for record in damaged.values())
        yield from self._aliases()
        index = IndexReconciler(self.store, self.trust, found, damaged)
        yield from index.problems()
        versions = [version for version in found if version not in index.strange]
        yield from self._half_published(versions)
        attached = AttachedReconciler(self.store, self.trust, self.layout, self.who, self.connect)
        yield from attached.problems(versions)
        yield from self._leases()

    def _aliases(self) -> Iterator[Problem]:
        for place in places(self.store):
            chain = Chain(self.store, self.trust, *place)
            found = faults(chain, log_of(chain))
            for fault in found:
                # Only lagging can be mended, and it is the only thing that can be wrong then.
                if len(found) == 1 and lags(self.store, self.trust, *place):
                    mended = "the alias record is brought up to date with its log"
                    yield Problem(fault.what, mended, self._roll_forward(*place))
                else:
                    yield Problem(fault.what, fault.remedy)

    def _roll_forward(self, name: str, gpu_class: str) -> Mend:
        return lambda: roll_forward(self.store, self.trust, name, gpu_class)

    def _half_published(self, versions: list[ModelVersion]) -> Iterator[Problem]:
        judged = {key.split("/")[1] for key in self.store.list("evidence/")}
        newest: dict[tuple[str, str], ModelVersion] = {}
        for version in versions:
            if version.record_digest.hex in judged:  # only the release's own summary hangs on it
                newest[version.name, version.gpu_class] = version
            elif version.source_set is not None:  # older versions have no summary
                again = "release it again: what is done already is kept"
                yield Problem(f"{version.reference} was published, and not attested", again)
        for version in newest.values():
            if self._never_candidate(version):
                what = f"{version.reference} was released, and never became candidate"
                yield Problem(what, "candidate is moved to it", self._make_candidate(version))

    def _never_candidate(self, version: ModelVersion) -> bool:
        try:
            moves = history(self.store, self.trust, version.name, version.gpu_class)
            aliases = get_aliases(self.store, self.trust, version.name, version.gpu_class)
            released = list_evidence(self.store, version.record_digest, self.trust)
        except HeadgateError:
            return False  # told as a problem of the aliases, or of the evidence
        if any(said.kind == ALIAS_MOVE for said in released):
            return False  # imported: it was candidate elsewhere, and aliases do not travel
        candidates = [move for move in moves if move.alias is Alias.CANDIDATE]
        if version.number in {aliases.candidate, *(move.target for move in candidates)}:
            return False
        # An older version that was released again since is the newer wish.
        since = max((str(e.facts.get("at")) for e in released if e.kind == RELEASE and e.signer), default="")
        return bool(since) and all(move.at < since for move in candidates)

    def _make_candidate(self, version: ModelVersion) -> Mend:
        def mend() -> bool:
            move_alias(
                self.store,
                self.signer,
                self.trust,
                name=version.name,
                gpu_class=version.gpu_class,
                alias=Alias.CANDIDATE,
                number=version.number,
                at=self.now,
                who=self.who,
                why="reconciled: its release ended before this",
                run=self.run,
            )
            return True

        return mend

    def _leases(self) -> Iterator[Problem]:
        for key in self.store.list("leases/"):
            if holder := holder_of(self.store, key):
                what = f"The lease {key} is held by {holder}"
                yield Problem(what, "it is freed, if its holder is dead", self._free(key), harmless=True)

    def _free(self, key: str) -> Mend:
        return lambda: free_stale(self.store, key)
