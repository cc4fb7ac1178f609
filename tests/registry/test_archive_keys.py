"""Keys that an import waits for: each is asked for by name, for what it signed, never for alias moves."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from judging.verdict import Finding, Outcome, Verdict
from registry.archive_keys import refuse_uncounted
from registry.bundle import Signer
from registry.errors import Refused
from registry.evidence import Evidence, list_evidence, record
from registry.policy import DEFAULT
from registry.predicates import ALIAS_MOVE, APPROVAL, EXPORT, KINDS, QUALITY, RELEASE, SCAN
from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey
from registry.trust_file import write_trust
from registry.verify import verify_version
from tests.simulators.archives import advised, bring, export
from tests.simulators.history import signed
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import digest
from tests.simulators.released import AT, WHEN, TinyHome, passed, release, tiny_home

FOLDER = Path("/media/my stick")


def refused(said: list[list[Evidence]], trust: Trust, names: dict[str, str]) -> Refused:
    """What an import ends with."""
    with pytest.raises(Refused) as error:
        refuse_uncounted(FOLDER, trust, said, names)
    return error.value


def evidence(kind: str, signer: Signer, trust: Trust, subject: str = "release") -> Evidence:
    """Signed, as it is read where that trust holds."""
    plain = Evidence(kind=kind, subject=digest(subject), verdict=passed(kind), facts={"at": AT})
    return signed(plain, signer, trust)


def options(command: str) -> dict[str, set[str]]:
    """The options of a command, each with its values."""
    words = shlex.split(command)
    named = [(word, value) for word, value in zip(words, [*words[1:], ""], strict=True) if word[:2] == "--"]
    return {word: {v for w, v in named if w == word} for word, _ in named}


def test_a_key_is_trusted_for_what_it_signed_and_never_for_moves(archive: Path, tmp_path: Path) -> None:
    """Whose moves count is a question of this house's own log."""
    with pytest.raises(Refused) as error:
        bring(tiny_home(tmp_path / "stranger"), archive)
    (command,) = advised(str(error.value))
    kinds = options(command)["--for"]
    assert kinds >= {EXPORT, QUALITY, RELEASE, SCAN}
    assert ALIAS_MOVE not in kinds
    assert APPROVAL not in kinds  # none was signed


def test_all_keys_of_all_versions_are_asked_for_at_once(
    here: TinyHome, archive: Path, tmp_path: Path
) -> None:
    """And each for its own kinds: who approved over there exports nothing here."""
    bob = TinyHome(here.home, name="bob")
    here.trusts("bob", bob.signer)
    second = release(here, weights={"config.json": b"{}"})
    yes = Evidence(kind=APPROVAL, subject=second.release_digest, verdict=passed(APPROVAL), facts={"at": AT})
    record(here.store, bob.signer, yes)
    export(here, "tiny/2", archive)
    with pytest.raises(Refused) as error:
        bring(tiny_home(tmp_path / "stranger"), archive)
    by_name = {
        options(command)["--name"].pop().partition("-")[0]: command for command in advised(str(error.value))
    }
    assert by_name.keys() == {"bob", "builder"}
    assert options(by_name["bob"])["--for"] == {APPROVAL}


def test_a_name_that_is_taken_here_is_not_given_to_a_stranger() -> None:
    """Else their CI would sign as ours; two keys of one holder over there are one holder here."""
    _, trust = signer_and_trust("ci")
    first, second = KeySigner.generate(), KeySigner.generate()
    said = [evidence(SCAN, first, trust), evidence(QUALITY, second, trust)]
    advice = refused([said], trust, {first.key_id: "ci", second.key_id: "ci"})
    (one,), (other,) = (options(command)["--name"] for command in advised(str(advice)))
    assert one == other
    assert one.startswith("ci-")
    assert [" --another" in command for command in advised(str(advice))] == [False, True]


@pytest.mark.parametrize("name", ["", "--for everything", "a`rm -rf`", "Ci", "x" * 400])
def test_a_name_that_is_none_is_not_printed(name: str) -> None:
    """What is printed here gets copied into a shell."""
    signer = KeySigner.generate()
    (command,) = advised(str(refused([[evidence(SCAN, signer, Trust())]], Trust(), {signer.key_id: name})))
    assert options(command)["--name"] == {f"key-{signer.key_id[:8]}"}
    assert shlex.split(command)[3] == f"{FOLDER}/blobs/sha256/{signer.key_id}"


def test_a_key_that_may_sign_too_little_is_told_what_it_lacks() -> None:
    """What it may sign already stays; another key of the holder is no reason to refuse it."""
    signer, other = KeySigner.generate(), KeySigner.generate()
    bob = TrustedKey("bob", signer.public_pem, frozenset({APPROVAL}))
    trust = Trust((bob, TrustedKey("bob", other.public_pem)))
    error = refused([[evidence(SCAN, signer, trust)]], trust, {signer.key_id: "robert"})
    assert "the key bob may not sign scan evidence" in error.why
    first, second = advised(str(error))
    assert first == f"headgate keys distrust {signer.key_id[:12]}"
    assert options(second)["--for"] == {APPROVAL, SCAN}
    assert options(second)["--name"] == {"bob"}
    assert " --another" in second


def test_a_key_that_is_not_in_the_archive_is_asked_for() -> None:
    """Its owner has it."""
    signer = KeySigner.generate()
    error = refused([[evidence(SCAN, signer, Trust())]], Trust(), {})
    assert f"ask for the public key {signer.key_id[:12]}" in error.next_step


def test_what_something_else_stands_in_for_is_not_asked_for() -> None:
    """A stranger's scan beside a trusted one, and another house's moves, are no reason to refuse anything."""
    builder, trust = signer_and_trust()
    stranger = KeySigner.generate()
    moves = evidence(ALIAS_MOVE, stranger, trust, subject="record")
    both = [evidence(SCAN, builder, trust), evidence(SCAN, stranger, trust), moves]
    refuse_uncounted(FOLDER, trust, [both], {})
    with pytest.raises(Refused):
        refuse_uncounted(FOLDER, trust, [both[1:]], {})


def test_no_yes_stands_in_for_a_no_that_does_not_count() -> None:
    """Else an exporter's approval would take a colleague's rejection out on the way."""
    builder, trust = signer_and_trust()
    bob = KeySigner.generate()
    approval = evidence(APPROVAL, builder, trust)
    no = Verdict.of([Finding(name=APPROVAL, outcome=Outcome.FAIL, message="it swears")])
    plain = Evidence(kind=APPROVAL, subject=digest("release"), verdict=no, facts={"at": AT})
    error = refused([[approval, signed(plain, bob, trust)]], trust, {bob.key_id: "bob"})
    assert "--name bob --for approval" in error.next_step


def test_names_in_an_archive_do_not_steer_a_terminal() -> None:
    """The sentence that asks a person whom to trust is ours alone."""
    signer = KeySigner.generate()
    names = {signer.key_id: "\x1b[31mevil\x1b[0m\nrun curl"}
    error = refused([[evidence(SCAN, signer, Trust())]], Trust(), names)
    assert str(error).isprintable()


def test_a_kind_of_evidence_from_the_future_cannot_be_trusted_yet() -> None:
    """No option could name it, so no command is printed that would not help."""
    signer = KeySigner.generate()
    error = refused([[evidence("vibes", signer, Trust())]], Trust(), {signer.key_id: "ci"})
    assert "this Headgate does not know: vibes" in error.why
    assert advised(str(error)) == []


def test_history_by_a_key_that_may_not_move_aliases_travels_all_the_same(
    tmp_path: Path, here: TinyHome, archive: Path
) -> None:
    """It is kept for people to read, as long as its signer is known here; nothing rests on it."""
    there = tiny_home(tmp_path / "careful")
    builder = TrustedKey("first-house", here.signer.public_pem, KINDS - {ALIAS_MOVE})
    write_trust(there.home.keys / "trusted.yaml", Trust((*there.trust.keys, builder)))
    (version,) = bring(there, archive)
    about = list_evidence(there.store, version.record_digest, there.trust)
    assert [e.signer for e in about if e.kind == ALIAS_MOVE] == [None, None]
    assert verify_version(there.held, "tiny/1", DEFAULT, WHEN).passed
