"""approve, stage, history, vouch: what a person decides, with a key of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from registry.alias import Alias, Aliases
from registry.alias_history import history
from registry.alias_log import get_aliases
from registry.evidence import list_evidence
from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey
from registry.trust_file import write_trust
from registry.version import ModelVersion
from tests.simulators.released import TinyHome, release, tiny_home

EXAMPLE = str(Path(__file__).resolve().parents[2] / "examples" / "quickstart.yaml")
FOUR_EYES = "staging: [{kind: quality}, {kind: release}, {kind: approval, four_eyes: true}]"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyHome:
    """A home whose key released one version, and is used by the commands."""
    tiny = tiny_home(tmp_path / "home")
    monkeypatch.setenv("HEADGATE_HOME", str(tiny.home.root))
    monkeypatch.delenv("HEADGATE_STORE", raising=False)
    monkeypatch.setenv("HEADGATE_ACTOR", "bob@desk")
    monkeypatch.setenv("KEY", tiny.signer.to_pem().decode())
    monkeypatch.setenv("HEADGATE_SIGNING_KEY", "env:KEY")
    return tiny


@pytest.fixture
def version(tiny: TinyHome) -> ModelVersion:
    """tiny/1, candidate and in production."""
    return release(tiny)


@pytest.fixture
def fresh(tiny: TinyHome) -> ModelVersion:
    """tiny/1, candidate, which was never live."""
    return release(tiny, aliases=[Alias.CANDIDATE])


def as_person(tiny: TinyHome, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the commands sign with this person's key, which is trusted."""
    key = KeySigner.generate()
    tiny.trusts(name, key)
    monkeypatch.setenv("KEY", key.to_pem().decode())


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_staging_follows_the_policy(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """A version with its evidence is staged, and the history says by whom and why."""
    assert main(["stage", "tiny/1", "--why", "soak test", "--json"]) == 0
    assert told(capsys)["aliases"]["staging"] == 1
    assert main(["history", "tiny", "--json"]) == 0
    last = told(capsys)["moves"][-1]
    assert (last["alias"], last["who"], last["why"], last["doubt"]) == (
        "staging",
        "bob@desk",
        "soak test",
        "",
    )
    assert main(["history", "tiny"]) == 0
    assert "soak test" in capsys.readouterr().out


def test_what_was_live_is_staged_whatever_the_policy_asks_and_that_is_said(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people beside the result, for programs as ``exempt``."""
    tiny.home.policy.write_text(FOUR_EYES)
    assert main(["stage", "tiny/1", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["exempt"] in output.err
    assert "tiny/1: it is exempt from the policy: it was in production here, first on 2026-" in output.err


def test_four_eyes(
    tiny: TinyHome, fresh: ModelVersion, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever released cannot approve alone: another person's key has to, and may take it back."""
    tiny.home.policy.write_text(FOUR_EYES)
    assert main(["approve", "tiny/1", "--why", "I made it", "--json"]) == 20
    answer = told(capsys)
    assert "the release as well" in answer["missing"]["staging"][0]
    (doubt,) = answer["doubts"]
    assert doubt.startswith("It does not count for staging: builder signed it, and the release as well")
    assert (answer["ok"], answer["exempt"]) == (False, "")
    assert main(["approve", "tiny/1", "--why", "a doubt", "--reject", "--json"]) == 0
    assert told(capsys)["doubts"] == []
    assert main(["approve", "tiny/1", "--why", "none left"]) == 20
    output = capsys.readouterr()
    assert "tiny/1 is approved by bob@desk, and it does not count" in output.out
    assert "The approval of tiny/1 was recorded. It does not count for staging: builder signed" in output.err
    assert "Next: have it signed with a key that counts" in output.err
    assert main(["stage", "tiny/1"]) == 20
    as_person(tiny, "ann", monkeypatch)
    assert main(["approve", "tiny/1", "--why", "read the report", "--json"]) == 0
    answer = told(capsys)
    assert (answer["approved"], answer["signer"], answer["missing"]["staging"]) == ("tiny/1", "ann", [])
    assert main(["approve", "tiny/1", "--why", "saw a leak", "--reject"]) == 0
    assert "ann rejected it on" in capsys.readouterr().out
    assert main(["stage", "tiny/1"]) == 10
    assert "saw a leak" in capsys.readouterr().err
    assert main(["approve", "tiny/1", "--why", "fixed", "--json"]) == 0
    assert main(["stage", "tiny/1"]) == 0
    assert get_aliases(tiny.store, tiny.trust, "tiny", "cpu") == Aliases(1, 1)


def test_what_is_missing_is_told_from_what_says_no(
    tiny: TinyHome, fresh: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 13 while nobody has looked; 10 is for a no."""
    tiny.home.policy.write_text("staging: [{kind: load}]")
    assert main(["stage", "tiny/1"]) == 13
    assert "there is no load evidence about it" in capsys.readouterr().err


def test_an_approval_that_counts_for_one_of_two_requirements_counts(
    tiny: TinyHome, fresh: ModelVersion, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of two people meets one; neither is told that theirs is worth nothing."""
    asked = "{kind: approval, signed_by: [%s]}"
    tiny.home.policy.write_text(f"staging: [{asked % 'ann'}, {asked % 'bob'}]")
    as_person(tiny, "ann", monkeypatch)
    assert main(["approve", "tiny/1", "--why", "fine", "--json"]) == 0
    assert told(capsys)["doubts"] == []


def test_an_approval_that_will_not_count_is_said_to(
    tiny: TinyHome, version: ModelVersion, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key nobody trusts here may sign, but nothing is staged by it."""
    monkeypatch.setenv("KEY", KeySigner.generate().to_pem().decode())
    assert main(["approve", "tiny/1", "--why", "me", "--json"]) == 20
    output = capsys.readouterr()
    assert (json.loads(output.out)["signer"], json.loads(output.out)["ok"]) == (None, False)
    assert "not trusted here" in output.err
    assert main(["stage", "tiny/1"]) == 2
    assert "may not move aliases" in capsys.readouterr().err


def test_an_approval_by_a_key_for_other_things_is_said_not_to_count(
    tiny: TinyHome, version: ModelVersion, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people after the table, for programs as ``doubts``."""
    scanner = KeySigner.generate()
    key = TrustedKey("scanner", scanner.public_pem, frozenset({"scan"}))
    write_trust(tiny.home.keys / "trusted.yaml", Trust((*tiny.trust.keys, key)))
    monkeypatch.setenv("KEY", scanner.to_pem().decode())
    assert main(["approve", "tiny/1", "--why", "me"]) == 20
    assert "It does not count: the key scanner may not sign approval evidence." in capsys.readouterr().err


def test_a_log_that_was_cut_is_noticed_by_whoever_has_seen_more(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is moved; history and verify say it; a store that is older on purpose is vouched for."""
    assert main(["stage", "tiny/1"]) == 0
    newest = max((tiny.home.store / "audit/tiny/cpu").iterdir())
    newest.unlink()
    (tiny.home.store / "aliases/tiny/cpu.json").unlink()
    capsys.readouterr()
    assert main(["stage", "tiny/1"]) == 40
    assert "this home has seen move 3" in capsys.readouterr().err
    assert main(["verify", "tiny/1", "--json"]) == 10
    assert "was cut off" in capsys.readouterr().out
    assert main(["history", "tiny"]) == 40
    assert "was cut off" in capsys.readouterr().err
    assert main(["history", "tiny", "--json"]) == 40
    assert len(told(capsys)["problems"]) == 1
    again = ["vouch", "tiny", "--gpu-class", "cpu", "--why", "disk died"]
    assert main(again) == 40
    assert main([*again, "--restored"]) == 0
    assert main(["stage", "tiny/1"]) == 0


@pytest.mark.parametrize("number", [1, 2])
def test_a_move_that_no_backup_has_is_got_over(
    tiny: TinyHome, version: ModelVersion, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every message leads to a command that works; the history tells what is lost, and whose word it is."""
    (tiny.home.store / f"audit/tiny/cpu/{number:08d}.json").unlink()
    assert main(["verify", "tiny/1", "--json"]) == 10
    capsys.readouterr()
    vouch = ["vouch", "tiny", "--gpu-class", "cpu", "--why", "disk died"]
    assert main(vouch) == 40
    assert "`headgate vouch tiny --gpu-class cpu --why ... --restored`" in capsys.readouterr().err
    assert main([*vouch, "--restored"]) == 0
    assert main(["history", "tiny"]) == 0
    told = capsys.readouterr().err
    assert f"Move {number} on cpu is lost: bob@desk goes on without, with move 3 (disk died)." in told
    assert main(["verify", "tiny/1"]) == 0
    assert main(["stage", "tiny/1"]) == 0


def test_a_log_of_which_nothing_is_left_is_given_up_with_a_warning(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is there to sign; what that means, and what to do before garbage is collected, is said."""
    assert main(["stage", "tiny/1"]) == 0
    for key in [*tiny.store.list("audit/"), *tiny.store.list("aliases/")]:
        tiny.store.delete(key)
    again = ["vouch", "tiny", "--gpu-class", "cpu", "--why", "disk died", "--restored", "--json"]
    capsys.readouterr()
    assert main(again) == 0
    answer = told(capsys)
    assert (answer["signed"], answer["lost"]) == (False, [1, 2, 3])
    assert "the moves 1, 2, 3 of tiny on cpu that this home has seen are given up" in answer["warnings"][0]
    assert main(again) == 0
    assert told(capsys)["warnings"] == []


def test_a_version_that_no_backup_has_is_got_over(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """The aliases that named it are told, and nothing is wrong with the others after that."""
    second = release(tiny, weights={"config.json": b"2"}, aliases=[Alias.CANDIDATE, Alias.STAGING])
    tiny.store.delete("versions/tiny/000001.json")
    tiny.store.delete(f"versions-by-content/tiny/{version.content_digest.hex}")
    vouch = ["vouch", "tiny", "--gpu-class", "cpu", "--why", "disk died"]
    assert main(vouch) == 40
    assert "record of tiny/1 is gone from the store" in capsys.readouterr().err
    assert main([*vouch, "--restored"]) == 0
    output = capsys.readouterr().err
    assert "production on cpu does not name tiny/1 any more." in output
    assert "It goes on without the moves 1, 2: `headgate history tiny` tells them." in output
    assert get_aliases(tiny.store, tiny.trust, "tiny", "cpu") == Aliases(candidate=2, staging=2)
    for command in (["verify", second.reference], ["reconcile"], ["versions"], ["gc"], ["history", "tiny"]):
        assert main(command) == 0, command


@pytest.mark.parametrize("damage", [None, b"{}"])
def test_a_move_that_is_gone_or_damaged_in_the_middle_is_noticed(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str], damage: bytes | None
) -> None:
    """By every command that lists; the other moves, and the aliases, are shown all the same."""
    assert main(["stage", "tiny/1"]) == 0
    entry = tiny.home.store / "audit/tiny/cpu/00000002.json"
    entry.unlink()
    if damage:
        entry.write_bytes(damage)
    capsys.readouterr()
    assert main(["history", "tiny"]) == 40
    shown = capsys.readouterr()
    assert shown.out.count("bob@desk") == shown.out.count("ada@worksho") == 1
    assert "audit/tiny/cpu/00000002.json" in " ".join(shown.err.split())
    assert main(["history", "tiny", "--json"]) == 40
    answer = told(capsys)
    assert ([move["number"] for move in answer["moves"]], answer["ok"]) == ([1, 3], False)
    assert "audit/tiny/cpu/00000002.json" in answer["problems"][0]
    for listing in (["versions"], ["show", "tiny/1"]):
        assert main(listing) == 40
        shown = capsys.readouterr()
        assert "tiny/1" in shown.out
        assert "audit/tiny/cpu/00000002.json" in " ".join(shown.err.split())
    assert main(["versions", "--json"]) == 40
    answer = told(capsys)
    (problem,) = answer["problems"]
    assert "audit/tiny/cpu/00000002.json" in problem
    assert answer["versions"][0]["aliases"] == ["candidate", "staging", "production"]


@pytest.mark.parametrize(
    ("key", "left", "fault"),
    [
        ("audit/tiny/cpu/00000002.json", b"{}", "audit/tiny/cpu/00000002.json cannot be believed"),
        ("audit/tiny/cpu/00000002.json", None, "was cut off: this home has seen move 2"),
        ("aliases/tiny/cpu.json", b"{}", "aliases/tiny/cpu.json cannot be believed"),
    ],
)
def test_a_version_is_shown_where_what_tells_its_aliases_is_damaged(
    tiny: TinyHome,
    version: ModelVersion,
    capsys: pytest.CaptureFixture[str],
    key: str,
    left: bytes | None,
    fault: str,
) -> None:
    """The last move, or the record: no alias can be believed, the rest is shown, and the fault told once."""
    assert main(["versions"]) == 0  # this home has seen them
    tiny.store.delete(key)
    if left is not None:
        tiny.store.put_if_absent(key, left)
    assert main(["show", "tiny/1"]) == 40
    shown = capsys.readouterr()
    assert str(version.release_digest) in shown.out
    assert " ".join(shown.err.split()).count(fault) == 1
    assert main(["show", "tiny/1", "--json"]) == 40
    answer = told(capsys)
    assert (answer["version"]["number"], answer["aliases"], len(answer["problems"])) == (1, [], 1)


def test_a_move_that_does_not_follow_is_told_once(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a fault, and not as a doubt besides."""
    release(tiny, weights={"config.json": b"2"})
    folder = tiny.home.store / "audit/tiny/cpu"
    (folder / "00000003.json").unlink()
    assert main(["history", "tiny"]) == 40
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.count("the one before it is missing or damaged") == 1
    assert "in doubt" not in shown


@pytest.mark.parametrize("damage", [b"garbage", b'{"candidate":9,"production":null,"previous":null}'])
def test_an_alias_record_that_says_something_else_is_noticed_and_signed_for(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str], damage: bytes
) -> None:
    """History names what helps, and that helps."""
    (tiny.home.store / "aliases/tiny/cpu.json").write_bytes(damage)
    assert main(["history", "tiny", "--json"]) == 40
    (problem,) = told(capsys)["problems"]
    assert "`headgate vouch tiny --gpu-class cpu --why ... --restored`" in problem
    assert main(["vouch", "tiny", "--gpu-class", "cpu", "--why", "x", "--restored"]) == 0
    assert main(["history", "tiny"]) == 0


def test_what_was_live_is_not_held_back_by_half_a_log_without_a_word(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """The move that excuses it may be the one that is gone; what the policy finds needs no excuse."""
    release(tiny, weights={"config.json": b"{}"})
    (tiny.home.store / "audit/tiny/cpu/00000002.json").unlink()
    tiny.home.policy.write_text("staging: [{kind: load}]")
    assert main(["stage", "tiny/1", "--json"]) == 40
    error = told(capsys)["error"]
    assert "there is no load evidence about it" in error["why"]
    assert "audit/tiny/cpu/00000002.json is missing" in error["why"]
    assert "restore the alias log from a backup" in error["next"]
    tiny.home.policy.unlink()
    assert main(["stage", "tiny/1"]) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["stage", "tiny/9"], "There is no version tiny/9. the versions of tiny are: tiny/1."),
        (["show", "tinny/1"], "There is no version tinny/1. no model has that name; did you mean 'tiny'?"),
        (["verify", "zebra/1"], "There is no version zebra/1. no model has that name; known: tiny."),
        (["promote", "tinny/1"], "did you mean 'tiny'?"),
        (["show", "tiny"], "not a version reference (name/number): 'tiny'. Next: write it as NAME/NUMBER"),
        (["approve", "tiny", "--why", "x"], "NAME/NUMBER"),
        (["regate", "not a ref", "--spec", EXAMPLE], "not a version reference (name/number): 'not a ref'"),
        (["approve", "tiny/1", "--why", " "], "--why is empty"),
        (["history", "Tiny!"], "not a name"),
        (["history", "tinny"], "did you mean 'tiny'?"),
        (
            ["history", "tiny", "--gpu-class", "h100"],
            "no version for the GPU class",
        ),
        (["history", "tiny", "--gpu-class", "h100", "--json"], "it has some for cpu"),
        (["vouch", "tinny", "--gpu-class", "cpu", "--why", "x"], "did you mean 'tiny'?"),
        (["vouch", "tiny", "--gpu-class", "H100!", "--why", "x"], "it has some for cpu"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    version: ModelVersion, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2 and without a traceback."""
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


def test_an_approval_is_said_to_be_recorded_where_other_evidence_is_damaged(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it changes cannot be told; nobody has to wonder whether to approve again."""
    scan = next(iter(tiny.store.list(f"evidence/{version.runtime.hex}/")))
    (tiny.home.store / scan).write_bytes(b"{}")
    assert main(["approve", "tiny/1", "--why", "read the report", "--json"]) == 40
    error = told(capsys)["error"]
    assert error["what"].startswith("tiny/1 is approved, and what that changes cannot be told: The evidence")
    assert scan in error["what"]
    assert "reconcile --apply" in error["next"]
    found = list_evidence(tiny.store, version.release_digest, tiny.trust)
    assert [e.facts["why"] for e in found if e.kind == "approval"] == ["read the report"]


def test_a_model_that_never_moved_has_no_history(tiny: TinyHome, capsys: pytest.CaptureFixture[str]) -> None:
    """It is published all the same: nothing is wrong, and there is nothing to sign for."""
    release(tiny, aliases=[])
    assert main(["history", "tiny"]) == 0
    assert "No alias of tiny has moved yet." in capsys.readouterr().err
    assert main(["vouch", "tiny", "--gpu-class", "cpu", "--why", "sure"]) == 0
    assert "Nothing was signed for the aliases of tiny on cpu" in capsys.readouterr().err


def test_vouching_for_a_healthy_log_signs_nothing_and_says_so(
    tiny: TinyHome, version: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last move is believed already."""
    before = history(tiny.store, tiny.trust, "tiny")
    assert main(["vouch", "tiny", "--gpu-class", "cpu", "--why", "sure"]) == 0
    output = capsys.readouterr()
    assert (output.out, "a trusted key signed their last move" in output.err) == ("", True)
    assert main(["vouch", "tiny", "--gpu-class", "cpu", "--why", "sure", "--json"]) == 0
    answer = told(capsys)
    assert (answer["signed"], answer["aliases"]["production"], answer["ok"]) == (False, 1, True)
    assert history(tiny.store, tiny.trust, "tiny") == before


def test_the_moves_of_a_key_that_is_gone_are_told_together(
    tiny: TinyHome, version: ModelVersion, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with the first and the last of them, where each alone would hide what else is wrong."""
    assert main(["stage", "tiny/1"]) == 0
    as_person(tiny, "ann", monkeypatch)
    assert main(["keys", "distrust", "builder"]) == 0
    moves = [f"audit/tiny/cpu/{number:08d}.json" for number in (1, 3)]
    sentence = f"The 3 alias moves from {moves[0]} to {moves[1]} cannot be believed, each as it is signed by"
    capsys.readouterr()
    assert main(["history", "tiny"]) == 40
    shown = " ".join(capsys.readouterr().err.split())
    assert (shown.count(sentence), "in doubt" in shown) == (1, False)
    assert main(["verify", "tiny/1", "--json"]) == 10
    findings = told(capsys)["verdict"]["findings"]
    (message,) = (f["message"] for f in findings if f["name"] == "aliases" and sentence in f["message"])
    assert "headgate vouch tiny --gpu-class cpu" in message


def test_a_lost_key_is_got_over_by_vouching(
    tiny: TinyHome, version: ModelVersion, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the old key nobody believes the aliases until somebody signs for them."""
    as_person(tiny, "ann", monkeypatch)
    trusted = tiny.home.keys / "trusted.yaml"
    assert main(["keys", "distrust", "builder"]) == 0
    assert "builder" not in trusted.read_text()
    assert main(["history", "tiny"]) == 40
    shown = " ".join(capsys.readouterr().err.split())
    both = "from audit/tiny/cpu/00000001.json to audit/tiny/cpu/00000002.json"
    assert f"The 2 alias moves {both} cannot be believed, each as it is signed by the key" in shown
    assert main(["stage", "tiny/1"]) == 13
    assert main(["vouch", "tiny", "--gpu-class", "cpu", "--why", "laptop stolen", "--json"]) == 0
    answer = told(capsys)
    assert (answer["aliases"]["production"], answer["signed"]) == (1, True)
    assert get_aliases(tiny.store, tiny.trust, "tiny", "cpu") == Aliases(1, None, 1)
