"""Alias moves: one at a time, all kept, whoever races, dies, or tampers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.alias import Alias, Aliases
from registry.alias_chain import Chain
from registry.alias_entries import read_links
from registry.alias_history import check_log, history, read_log
from registry.alias_log import Move, all_aliases, get_aliases, move_alias, roll_forward
from registry.alias_move import Move as PlainMove
from registry.alias_vouch import vouch
from registry.bundle import Signer, seal
from registry.digest import Digest, canonical_json
from registry.dir_store import DirStore
from registry.errors import InfrastructureError, UsageError
from registry.memory_store import MemoryStore
from registry.publish import get_version, publish
from registry.statement import Statement
from registry.store import Store
from registry.trust import Trust, TrustedKey
from registry.version import ModelVersion
from tests.simulators.json_values import mangled
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import digest, draft

SIGNER, TRUST = signer_and_trust()
RECORD, ENTRIES = "aliases/tiny/cpu.json", "audit/tiny/cpu/"
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def published(store: Store) -> Store:
    """The store with three versions for cpu and one, number 4, for h100."""
    for index in range(3):
        publish(store, draft(image=digest(str(index))))
    publish(store, draft(gpu_class="h100"))
    return store


_PUBLISHED = published(MemoryStore({}))
VERSION = get_version(_PUBLISHED, "tiny/1")
VERSIONS = {key: data for key in _PUBLISHED.list("") if (data := _PUBLISHED.get(key))}


@pytest.fixture
def store() -> MemoryStore:
    """A store with versions and no aliases."""
    return MemoryStore(VERSIONS)


def move(store: Store, alias: str, number: int, *, signer: Signer = SIGNER, **changes: Any) -> Aliases:
    facts: dict[str, Any] = {"name": "tiny", "gpu_class": "cpu", "at": NOW, "who": "ann", "why": "it passed"}
    trust = changes.pop("trust", TRUST)
    return move_alias(store, signer, trust, **{**facts, **changes}, alias=Alias(alias), number=number)


def live_since(store: Store, trust: Trust, version: ModelVersion) -> datetime | None:
    return read_log(store, trust, version.name, version.gpu_class).live_since(version)


def entry(number: int) -> str:
    return f"{ENTRIES}{number:08d}.json"


def change(store: Store, key: str, data: bytes | None) -> None:
    """What somebody with write access to the store can do."""
    store.delete(key)
    if data is not None:
        store.put_if_absent(key, data)


def contents(store: Store) -> dict[str, bytes]:
    return {key: data for key in store.list("") if (data := store.get(key))}


def test_before_the_first_release_there_are_no_aliases(store: MemoryStore) -> None:
    """An empty answer, not an error, and nothing is wrong."""
    assert get_aliases(store, TRUST, "tiny", "cpu") == Aliases()
    assert (all_aliases(store, TRUST), history(store, TRUST, "tiny")) == ({}, [])
    assert check_log(store, TRUST, "tiny", "cpu") == []


def test_a_move_is_kept_with_who_when_why_from_and_to(store: MemoryStore) -> None:
    """The log says it, signed; the record says where things are."""
    move(store, "candidate", 1)
    assert move(store, "production", 1, who="bob", why="canary passed", run="run-7") == Aliases(1, None, 1)
    first, second = history(store, TRUST, "tiny")
    assert (first.alias, first.before, first.after) == (Alias.CANDIDATE, Aliases(), Aliases(1))
    assert (second.who, second.why, second.run) == ("bob", "canary passed", "run-7")
    assert (second.at, second.number, second.target) == ("2026-11-21T10:00:00.000000+00:00", 2, 1)
    assert (second.previous, second.signer, second.doubt) == (first.digest, "builder", "")
    assert second.version == Digest.of_bytes(VERSIONS["versions/tiny/000001.json"])


def test_a_move_to_where_the_alias_is_adds_nothing(store: MemoryStore) -> None:
    """A repeated promotion does not make production its own predecessor."""
    for number in (1, 2, 2):
        aliases = move(store, "production", number)
    assert aliases == Aliases(production=2, previous=1)
    assert len(history(store, TRUST, "tiny")) == 2


def test_an_alias_cannot_point_at_what_is_not_published(store: MemoryStore) -> None:
    """Nor at a version that was judged on other hardware."""
    with pytest.raises(UsageError, match="no version tiny/9"):
        move(store, "production", 9)
    with pytest.raises(UsageError, match="not for the GPU class h100"):
        move(store, "candidate", 1, gpu_class="h100")
    assert contents(store) == VERSIONS


def test_a_key_that_may_not_move_aliases_moves_none(store: MemoryStore) -> None:
    """It is refused before anything is written: an entry nobody believes would stop every reader."""
    stranger, _ = signer_and_trust()
    with pytest.raises(UsageError, match=r"may not move aliases, .* not trusted here.*headgate keys trust"):
        move(store, "production", 1, signer=stranger)
    scanner = TrustedKey("scanner", stranger.public_pem, frozenset({"scan"}))
    with pytest.raises(UsageError, match="scanner is trusted for other kinds"):
        move(store, "production", 1, signer=stranger, trust=Trust((*TRUST.keys, scanner)))
    assert contents(store) == VERSIONS


def test_gpu_classes_and_models_do_not_mix(store: MemoryStore) -> None:
    """Each has a log of its own, and all are found."""
    publish(store, draft("other"))
    move(store, "production", 1)
    move(store, "production", 4, gpu_class="h100")
    move(store, "candidate", 1, name="other")
    assert all_aliases(store, TRUST, "tiny") == {
        ("tiny", "cpu"): Aliases(production=1),
        ("tiny", "h100"): Aliases(production=4),
    }
    assert ("other", "cpu") in all_aliases(store, TRUST)
    assert [m.gpu_class for m in history(store, TRUST, "tiny")] == ["cpu", "h100"]
    assert [m.gpu_class for m in history(store, TRUST, "tiny", "h100")] == ["h100"]


def test_any_name_and_gpu_class_is_found(store: MemoryStore) -> None:
    """Also one that looks like a file's name; what lies beside the logs is passed over."""
    publish(store, draft("x.json", gpu_class="h100.json"))
    move(store, "production", 1, name="x.json", gpu_class="h100.json")
    store.put_if_absent("aliases/stray", b"")
    store.put_if_absent("audit/stray", b"")
    assert all_aliases(store, TRUST) == {("x.json", "h100.json"): Aliases(production=1)}
    change(store, "aliases/x.json/h100.json.json", None)
    assert list(all_aliases(store, TRUST)) == [("x.json", "h100.json")]


def test_what_cannot_be_a_name_is_the_users_mistake(store: MemoryStore) -> None:
    """One sentence and a next step."""
    with pytest.raises(UsageError, match="not a name"):
        history(store, TRUST, "Tiny!")


def test_an_old_record_that_was_put_back_changes_nothing(store: MemoryStore) -> None:
    """Readers go by the log, the check names the replay, and the next mover mends the record."""
    move(store, "production", 1)
    old = store.get(RECORD)
    move(store, "production", 2)
    move(store, "production", 3)
    change(store, RECORD, old)
    assert get_aliases(store, TRUST, "tiny", "cpu") == Aliases(production=3, previous=2)
    assert check_log(store, TRUST, "tiny", "cpu") == [
        f"The alias record {RECORD} lags behind its log: it is at move 1 of 3."
    ]
    assert roll_forward(store, TRUST, "tiny", "cpu")
    assert check_log(store, TRUST, "tiny", "cpu") == []
    assert not roll_forward(store, TRUST, "tiny", "cpu")


def test_a_removed_record_changes_nothing(store: MemoryStore) -> None:
    """Garbage collection still sees what is live."""
    move(store, "production", 1)
    change(store, RECORD, None)
    assert all_aliases(store, TRUST) == {("tiny", "cpu"): Aliases(production=1)}
    assert "lags behind" in check_log(store, TRUST, "tiny", "cpu")[0]
    move(store, "candidate", 2)
    assert check_log(store, TRUST, "tiny", "cpu") == []


def test_a_record_ahead_of_its_log_is_an_error(store: MemoryStore) -> None:
    """Entries were removed: which version is live would be a guess."""
    move(store, "production", 1)
    move(store, "production", 2)
    change(store, entry(2), None)
    with pytest.raises(InfrastructureError, match=rf"{RECORD} cannot be believed.*{entry(2)}, which is not"):
        get_aliases(store, TRUST, "tiny", "cpu")
    with pytest.raises(InfrastructureError):
        move(store, "production", 3)
    assert len(check_log(store, TRUST, "tiny", "cpu")) == 1


def test_an_entry_missing_in_the_middle_is_found(store: MemoryStore) -> None:
    """By the check and in the history; the present state does not rest on it."""
    for number in (1, 2, 3):
        move(store, "production", number)
    change(store, entry(2), None)
    assert get_aliases(store, TRUST, "tiny", "cpu").production == 3
    first, third = history(store, TRUST, "tiny")
    assert (first.doubt, third.doubt) == ("", "the one before it is missing or damaged")
    assert len(check_log(store, TRUST, "tiny", "cpu")) == 2


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_entry_that_is_not_what_the_next_one_follows_is_found_without_signatures(
    store: MemoryStore, number: int
) -> None:
    """Gone, cut to nothing, or another signed move: each names the digest of the one before it."""
    for target in (1, 2, 3, 1):
        move(store, "production", target)
    chain = Chain(store, TRUST, "tiny", "cpu")
    assert read_links(chain).broken == ()
    other = MemoryStore(VERSIONS)
    for target in (2, 1, 2):
        move(other, "production", target)
    for damage in (None, b"", b"{}", other.get(entry(number))):
        whole = store.get(entry(number))
        change(store, entry(number), damage)
        (sentence,) = read_links(chain).broken
        assert entry(number) in sentence
        assert get_aliases(store, TRUST, "tiny", "cpu").production == 1
        change(store, entry(number), whole)


def test_an_entry_of_another_log_is_not_taken(store: MemoryStore) -> None:
    """A true signature for another GPU class, or another number, says nothing here."""
    move(store, "production", 4, gpu_class="h100")
    foreign = store.get("audit/tiny/h100/00000001.json")
    change(store, entry(1), foreign)
    with pytest.raises(InfrastructureError, match="move 1 of tiny on h100, put in another place"):
        get_aliases(store, TRUST, "tiny", "cpu")


def test_an_entry_that_does_not_follow_is_not_taken(store: MemoryStore) -> None:
    """Two histories signed by the same key cannot be joined."""
    other = MemoryStore(VERSIONS)
    for where, number in ((store, 1), (other, 2)):
        move(where, "production", number)
        move(where, "production", 3)
    change(store, entry(2), other.get(entry(2)))
    change(store, RECORD, None)
    with pytest.raises(InfrastructureError, match=rf"{entry(2)} cannot be believed.*it follows the entry"):
        get_aliases(store, TRUST, "tiny", "cpu")


def test_an_entry_that_starts_elsewhere_is_not_taken(store: MemoryStore) -> None:
    """Nor does a record of the unsigned format, forged over a log, say where the log began."""
    move(store, "production", 1)
    change(store, RECORD, b'{"candidate":3,"previous":null,"production":3}')
    with pytest.raises(InfrastructureError, match=rf"{entry(1)} cannot be believed.*but the aliases were"):
        get_aliases(store, TRUST, "tiny", "cpu")
    with pytest.raises(InfrastructureError):
        move(store, "production", 2)


def test_an_entry_by_a_key_that_may_not_is_not_taken(store: MemoryStore) -> None:
    """Somebody trusted for scans signed a move with another program."""
    scanner, trust = signer_and_trust("scanner")
    move(store, "production", 1, signer=scanner, trust=trust)
    narrowed = Trust((TrustedKey("scanner", scanner.public_pem, frozenset({"scan"})),))
    with pytest.raises(InfrastructureError, match="the key scanner may not sign alias-move evidence"):
        get_aliases(store, narrowed, "tiny", "cpu")


def test_a_version_that_was_swapped_under_its_alias_is_found(store: MemoryStore) -> None:
    """The entry names the record it was made for, by digest."""
    move(store, "production", 1)
    forged = json.loads(VERSIONS["versions/tiny/000001.json"]) | {"source_commit": "b" * 40}
    change(store, "versions/tiny/000001.json", canonical_json(forged))
    (problem,) = check_log(store, TRUST, "tiny", "cpu")
    assert "it was made for sha256:" in problem


def test_moves_by_a_key_no_longer_trusted_need_somebody_to_vouch(store: MemoryStore) -> None:
    """The error names the key and the way out; vouching signs for the state and moves nothing."""
    lost, old_trust = signer_and_trust("lost")
    both = Trust((*TRUST.keys, *old_trust.keys))
    move(store, "production", 1, signer=lost, trust=both)
    for number in (2, 3):
        with pytest.raises(
            InfrastructureError, match=rf"key {lost.key_id[:12]}, not trusted.*headgate vouch"
        ):
            move(store, "production", number)
    said: dict[str, Any] = {"name": "tiny", "gpu_class": "cpu", "at": NOW, "who": "ann", "why": "key lost"}
    assert [vouch(store, SIGNER, TRUST, **said).signed for _ in range(2)] == [True, False]
    assert get_aliases(store, TRUST, "tiny", "cpu") == Aliases(production=1)
    assert check_log(store, TRUST, "tiny", "cpu") == []
    assert [m.signer for m in history(store, TRUST, "tiny")] == [None, "builder"]
    assert move(store, "production", 2) == Aliases(production=2, previous=1)


def test_a_record_without_a_log_is_read_and_can_be_vouched_for(store: MemoryStore) -> None:
    """As Headgate 0.1 wrote it: format 1, unsigned; the log goes on from there."""
    store.put_if_absent(RECORD, b'{"candidate":2,"previous":null,"production":1}')
    assert get_aliases(store, TRUST, "tiny", "cpu") == Aliases(2, None, 1)
    assert "is not signed" in check_log(store, TRUST, "tiny", "cpu")[0]
    other = MemoryStore(contents(store))
    assert move(other, "production", 2) == Aliases(2, None, 2, 1)
    said: dict[str, Any] = {"name": "tiny", "gpu_class": "cpu", "at": NOW, "who": "ann", "why": "upgrade"}
    assert vouch(store, SIGNER, TRUST, **said).signed
    assert get_aliases(store, TRUST, "tiny", "cpu") == Aliases(2, None, 1)
    assert [check_log(where, TRUST, "tiny", "cpu") for where in (store, other)] == [[], []]
    assert store.get(RECORD) != b'{"candidate":2,"previous":null,"production":1}'


def test_vouching_for_nothing_adds_nothing(store: MemoryStore) -> None:
    """Without aliases there is nothing to sign for."""
    said: dict[str, Any] = {"name": "tiny", "gpu_class": "cpu", "at": NOW, "who": "ann", "why": "?"}
    assert not vouch(store, SIGNER, TRUST, **said).signed
    assert contents(store) == VERSIONS


def test_a_version_was_live_since_the_log_has_it_in_production(store: MemoryStore) -> None:
    """By any entry that is whole; a candidate was not live, nor was what is live on another GPU class."""
    assert live_since(store, TRUST, VERSION) is None
    move(store, "candidate", 1)
    move(store, "staging", 1)
    move(store, "production", 4, gpu_class="h100")
    assert live_since(store, TRUST, VERSION) is None
    for hours, number in enumerate((1, 2, 3, 1)):
        move(store, "production", number, at=NOW + timedelta(hours=hours))
    assert live_since(store, TRUST, VERSION) == NOW
    change(store, entry(3), None)
    assert live_since(store, TRUST, VERSION) == NOW + timedelta(hours=3)


def test_only_moves_whose_own_signer_is_trusted_make_a_version_live(store: MemoryStore) -> None:
    """A key distrusted since excuses nothing, until somebody signs for what it had put in production."""
    lost, old_trust = signer_and_trust("lost")
    both = Trust((*TRUST.keys, *old_trust.keys))
    for hours, number in enumerate((1, 2, 3)):
        move(store, "production", number, signer=lost, trust=both, at=NOW + timedelta(hours=hours))
    versions = [get_version(store, f"tiny/{number}") for number in (1, 2, 3)]
    assert [live_since(store, both, v) for v in versions] == [NOW + timedelta(hours=h) for h in range(3)]
    narrowed = Trust((*TRUST.keys, TrustedKey("lost", lost.public_pem, frozenset({"scan"}))))
    for trust in (TRUST, narrowed):
        assert [live_since(store, trust, v) for v in versions] == [None, None, None]
    later = {"name": "tiny", "gpu_class": "cpu", "at": NOW + timedelta(days=9), "who": "ann", "why": "lost"}
    assert vouch(store, SIGNER, TRUST, **later).signed  # type: ignore[arg-type]
    # Dated by the whole log: what was found before the vouching, and after it went live, is harm since.
    first, *vouched_for = [live_since(store, TRUST, v) for v in versions]
    assert first is None
    assert vouched_for == [NOW + timedelta(hours=1), NOW + timedelta(hours=2)]


def test_moving_on_is_not_vouching_for_what_was_there(store: MemoryStore) -> None:
    """Whoever goes back from what an intruder put into production does not say that it was right."""
    intruder, other = signer_and_trust("intruder")
    move(store, "production", 2)
    move(store, "production", 1, signer=intruder, trust=Trust((*TRUST.keys, *other.keys)))
    move(store, "production", 2, trust=Trust((*TRUST.keys, *other.keys)))
    assert get_aliases(store, TRUST, "tiny", "cpu").previous == 1
    assert live_since(store, TRUST, VERSION) is None


def test_another_record_under_the_same_number_was_not_live(store: MemoryStore) -> None:
    """The log names the record that it pointed at, by digest."""
    move(store, "production", 1)
    move(store, "production", 2)
    assert live_since(store, TRUST, VERSION) == NOW
    assert live_since(store, TRUST, replace(VERSION, image=digest("another image"))) is None


def test_entries_of_another_log_make_nothing_live(store: MemoryStore) -> None:
    """Signed by a trusted key, but they do not follow what is here."""
    other = MemoryStore(VERSIONS)
    move(store, "production", 2)
    move(other, "production", 3)
    move(other, "production", 1)
    change(store, entry(2), other.get(entry(2)))
    assert live_since(store, TRUST, VERSION) is None


def test_a_store_that_cannot_be_reached_is_no_answer(store: MemoryStore) -> None:
    """Else a version would be kept back for a reason that is not one."""
    move(store, "production", 1)

    class Unreachable(MemoryStore):
        def get(self, key: str) -> bytes | None:
            raise InfrastructureError(f"{key} cannot be reached")

    with pytest.raises(InfrastructureError, match="cannot be reached"):
        live_since(Unreachable(contents(store)), TRUST, VERSION)


@pytest.mark.parametrize("damage", [b"", b"[]", b"null", b'{"staging": 1}', b'{"format": 3}', b"[" * 9999])
def test_a_damaged_record_is_named(store: MemoryStore, damage: bytes) -> None:
    """Guessing what is live would be worse than stopping."""
    move(store, "production", 1)
    change(store, RECORD, damage)
    with pytest.raises(InfrastructureError, match=rf"{RECORD} cannot be believed"):
        get_aliases(store, TRUST, "tiny", "cpu")
    assert RECORD in check_log(store, TRUST, "tiny", "cpu")[0]


_HISTORY = MemoryStore(VERSIONS)
for _alias, _number in (("candidate", 1), ("production", 1), ("candidate", 2), ("production", 2)):
    move(_HISTORY, _alias, _number)
TRUTH = get_aliases(_HISTORY, TRUST, "tiny", "cpu")


@settings(max_examples=150)
@given(st.data(), st.sampled_from([RECORD, *(entry(number) for number in (1, 2, 3, 4))]))
def test_no_change_to_a_stored_value_gives_another_answer(data: st.DataObject, key: str) -> None:
    """A changed field is an error or changes nothing, and the check finds every one."""
    store = MemoryStore(contents(_HISTORY))
    kept = json.loads(store.get(key) or b"")
    forged = data.draw(mangled(kept))
    if forged == kept:
        return
    change(store, key, json.dumps(forged).encode())
    with contextlib.suppress(InfrastructureError):
        assert get_aliases(store, TRUST, "tiny", "cpu") == TRUTH
    assert check_log(store, TRUST, "tiny", "cpu")


@settings(max_examples=150)
@given(st.sampled_from([RECORD, *(entry(number) for number in (1, 2, 3, 4))]), st.data())
def test_no_flipped_bit_gives_another_answer(key: str, data: st.DataObject) -> None:
    """Nor does a truncated file."""
    store = MemoryStore(contents(_HISTORY))
    kept = store.get(key) or b""
    at, bit = data.draw(st.integers(0, len(kept) - 1)), data.draw(st.integers(0, 8))
    forged = kept[:at] if bit == 8 else kept[:at] + bytes([kept[at] ^ (1 << bit)]) + kept[at + 1 :]
    change(store, key, forged)
    with contextlib.suppress(InfrastructureError):
        assert get_aliases(store, TRUST, "tiny", "cpu") == TRUTH
    assert check_log(store, TRUST, "tiny", "cpu")


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data())
def test_a_signed_entry_of_any_content_is_taken_or_named(data: st.DataObject) -> None:
    """A newer or broken Headgate may sign nonsense: no reader gets a traceback from it."""
    store = MemoryStore(contents(_HISTORY))
    last = history(store, TRUST, "tiny")[-1]
    following = PlainMove(
        number=5, name="tiny", gpu_class="cpu", alias=Alias.STAGING, before=last.after,
        after=Aliases(2, 1, 2, 1), version=last.version, at=last.at, who="ann", why="", previous=last.digest,
    )  # fmt: skip
    predicate = data.draw(mangled(json.loads(canonical_json(following.evidence.statement.predicate))))
    statement = following.evidence.statement
    live = live_since(store, TRUST, VERSION)
    try:
        forged = Statement(
            predicate_type=statement.predicate_type, subjects=statement.subjects, predicate=predicate
        )
        store.put_if_absent(entry(5), seal(forged, SIGNER))
    except (ValueError, TypeError):
        return  # nothing that can be signed
    try:
        assert replace(get_aliases(store, TRUST, "tiny", "cpu"), staging=None) == TRUTH
        assert all(isinstance(found.at[:10], str) for found in history(store, TRUST, "tiny"))
    except InfrastructureError:
        assert check_log(store, TRUST, "tiny", "cpu")
    assert live_since(store, TRUST, VERSION) in (live, None)


def test_racing_threads_lose_no_move(tmp_path: Path) -> None:
    """A candidate moved during a promotion is not lost, nor is the promotion."""
    store = published(DirStore(tmp_path))
    moves = [("production", 1), ("candidate", 3), ("staging", 2), ("production", 2)] * 6
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda wanted: move(store, *wanted), moves))
    aliases = get_aliases(store, TRUST, "tiny", "cpu")
    assert (aliases.candidate, aliases.staging) == (3, 2)
    assert {aliases.production, aliases.previous} == {1, 2}
    assert check_log(store, TRUST, "tiny", "cpu") == []


_MOVER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from registry.alias import Alias
from registry.alias_log import move_alias
from registry.dir_store import DirStore
from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey
root, pem, who = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), sys.argv[3]
signer = KeySigner.from_pem(pem)
trust = Trust((TrustedKey("builder", signer.public_pem),))
for step in range(int(sys.argv[4])):
    number = (step + int(who)) % 3 + 1
    after = move_alias(DirStore(root), signer, trust, name="tiny", gpu_class="cpu", alias=Alias.PRODUCTION,
                       number=number, at=datetime.now(UTC), who=who, why=str(step))
    assert after.production == number
    print(step, flush=True)
"""


def movers(root: Path, folder: Path, count: int, steps: int) -> list[subprocess.Popen[str]]:
    key = folder / "key.pem"
    key.write_bytes(SIGNER.to_pem())
    command = [sys.executable, "-c", _MOVER, str(root), str(key)]
    return [
        subprocess.Popen([*command, str(who), str(steps)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for who in range(count)
    ]


def checked(store: Store) -> list[Move]:
    """The history, in which every move starts where the one before ended."""
    moves = history(store, TRUST, "tiny")
    assert [m.number for m in moves] == list(range(1, len(moves) + 1))
    assert [m.doubt for m in moves if m.doubt] == []
    assert check_log(store, TRUST, "tiny", "cpu") == []
    return moves


def test_racing_processes_lose_no_move(tmp_path: Path) -> None:
    """Every answer a process got is in the history once, in the order in which it got them."""
    store = published(DirStore(tmp_path / "store"))
    for process in movers(tmp_path / "store", tmp_path, 4, 12):
        assert process.communicate(timeout=60)[0].split() == [str(step) for step in range(12)]
        assert process.returncode == 0
    moves = checked(store)
    for who in "0123":
        steps = [int(m.why) for m in moves if m.who == who]
        assert steps == sorted(set(steps))
    assert get_aliases(store, TRUST, "tiny", "cpu") == moves[-1].after


def test_killed_processes_leave_a_log_that_goes_on(tmp_path: Path) -> None:
    """kill -9 at any moment: every move that was answered is there, and the next mover mends the record."""
    store = published(DirStore(tmp_path / "store"))
    answered: dict[str, int] = {}
    for index, process in enumerate(movers(tmp_path / "store", tmp_path, 3, 100_000)):
        with process:
            assert process.stdout
            for _ in range(5):
                process.stdout.readline()
            time.sleep(0.1)
            process.kill()
            answered[str(index)] = 5 + len(process.stdout.read().split())
    move(store, "candidate", 1)
    moves = checked(store)
    assert moves[-1].after.candidate == 1
    assert len(moves) > 5  # where another one had moved it to the same version, nothing was added
    for who, count in answered.items():  # at most one move was made and not answered
        assert max((int(m.why) for m in moves if m.who == who), default=0) <= count
