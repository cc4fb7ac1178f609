"""``headgate verify``: whether a version still is what was released, from its bytes up."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from cli.display import Display, print_json, print_table
from cli.registry_access import Reference, RegistryAccess
from cli.releases import Json
from judging.verdict import Finding, Outcome, Verdict
from registry.verify import POLICY, size_of, verify_version
from tasks.progress import byte_counter, report

_EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 10, Outcome.INCONCLUSIVE: 13, Outcome.ERROR: 40}


def verify(
    version: Reference,
    as_json: Json = False,
) -> None:
    """Check a version again: every byte, digest, signature, alias move, and what policy says of it now.

    Exits with 10 when anything is wrong, with 13 when nothing is but policy keeps it from production, or
    parts of it are not on this machine.
    """
    with Display(bars=not as_json):
        verdict = _verdict(version)
    if as_json:
        print_json({"version": version, "verdict": verdict.to_json(), "ok": verdict.passed})
    else:
        rows = [[_mark(f), f.name, f.message] for f in verdict.findings]
        print_table(f"{version}: {_summary(verdict)}", ["", "check", "found"], rows)
    if not verdict.passed:
        raise typer.Exit(_EXIT_CODES[verdict.outcome])


_MARKS = {Outcome.PASS: "ok", Outcome.FAIL: "WRONG", Outcome.INCONCLUSIVE: "unseen", Outcome.ERROR: "error"}
_WORDS = {
    Outcome.PASS: "everything is as it was signed",
    Outcome.FAIL: "something is wrong",
    Outcome.INCONCLUSIVE: "nothing is wrong, and policy keeps it from production",
    Outcome.ERROR: "could not be checked",
}
_NOT_HERE = "nothing wrong was found, and not everything could be checked"


def _mark(finding: Finding) -> str:
    return "waits" if _waits(finding) else _MARKS[finding.outcome]


def _waits(finding: Finding) -> bool:
    """Whether it is only the policy's: everything else that cannot be told is not on this machine."""
    return finding.outcome is Outcome.INCONCLUSIVE and finding.name == POLICY


def _summary(verdict: Verdict) -> str:
    unsure = [f for f in verdict.findings if f.outcome is verdict.outcome is Outcome.INCONCLUSIVE]
    return _WORDS[verdict.outcome] if all(map(_waits, unsure)) else _NOT_HERE


def _verdict(reference: str) -> Verdict:
    at = RegistryAccess()
    held = at.holdings
    report("verify", f"{reference}: record and signatures")
    heard = byte_counter("verify", lambda: size_of(held, at.version(reference)))
    verdict = verify_version(held, reference, at.policy, datetime.now(UTC), heard)
    report("verify", str(verdict.outcome), 1.0)
    return verdict
