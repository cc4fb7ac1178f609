"""Any interleaving of movers, deaths, replays and readers keeps one history, and every answer true to it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from registry.alias import Alias, Aliases, moved
from registry.alias_history import check_log, history
from registry.alias_log import all_aliases, get_aliases, move_alias, roll_forward
from registry.memory_store import MemoryStore
from registry.publish import publish
from registry.store import Store
from tests.simulators.crashing_store import CrashingStore, Died, InterleavedStore
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import digest, draft

SIGNER, TRUST = signer_and_trust()
RECORD = "aliases/tiny/cpu.json"
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
ALIASES, NUMBERS = st.sampled_from(Alias), st.integers(1, 3)


def move(store: Store, alias: Alias, number: int) -> Aliases:
    said = {"at": NOW, "who": "ann", "why": "it passed", "name": "tiny", "gpu_class": "cpu"}
    return move_alias(store, SIGNER, TRUST, alias=alias, number=number, **said)  # type: ignore[arg-type]


class Moves(RuleBasedStateMachine):
    """The model is the aliases there should be, and how many moves led to them."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore({})
        self.model, self.count = Aliases(), 0
        self.records: list[bytes | None] = [None]

    @initialize()
    def publish(self) -> None:
        for index in range(3):
            publish(self.store, draft(image=digest(str(index))))

    @rule(alias=ALIASES, number=NUMBERS)
    def moves(self, alias: Alias, number: int) -> None:
        """A mover that lives."""
        self.take(alias, number)
        assert move(self.store, alias, number) == self.model

    @rule(alias=ALIASES, number=NUMBERS, operation=st.integers(0, 12), after=st.booleans())
    def dies(self, alias: Alias, number: int, operation: int, after: bool) -> None:
        """A mover that is killed before or after one of its operations: it moved the alias, or it did not."""
        with contextlib.suppress(Died):
            move(CrashingStore(self.store, operation, after), alias, number)
        if get_aliases(self.store, TRUST, "tiny", "cpu") != self.model:
            self.take(alias, number)

    @rule(mine=st.tuples(ALIASES, NUMBERS), others=st.dictionaries(st.integers(0, 12), NUMBERS, max_size=3))
    def races(self, mine: tuple[Alias, int], others: dict[int, int]) -> None:
        """A mover between whose operations others move the candidate."""

        def run(operation: int) -> None:
            if number := others.get(operation):
                self.take(Alias.CANDIDATE, number)
                move(self.store, Alias.CANDIDATE, number)

        before = self.model
        answer = move(InterleavedStore(self.store, run), *mine)
        moves = history(self.store, TRUST, "tiny")
        assert answer in {before, *(m.after for m in moves)}
        assert answer.at(mine[0]) == mine[1]
        self.model, self.count = (moves[-1].after if moves else Aliases()), len(moves)

    @rule(index=st.integers(0, 100))
    def replays(self, index: int) -> None:
        """Somebody puts an old record back, or removes it."""
        self.store.delete(RECORD)
        old = self.records[index % len(self.records)]
        if old is not None:
            self.store.put_if_absent(RECORD, old)

    @rule()
    def reconciles(self) -> None:
        """A repair, after which nothing is wrong."""
        roll_forward(self.store, TRUST, "tiny", "cpu")
        assert check_log(self.store, TRUST, "tiny", "cpu") == []

    def take(self, alias: Alias, number: int) -> None:
        wanted = moved(self.model, alias, number)
        self.count += wanted != self.model
        self.model = wanted

    @invariant()
    def the_answer_is_true(self) -> None:
        """Whoever reads gets what the moves led to; at most the record lags."""
        assert get_aliases(self.store, TRUST, "tiny", "cpu") == self.model
        assert all_aliases(self.store, TRUST) == ({("tiny", "cpu"): self.model} if self.count else {})
        moves = history(self.store, TRUST, "tiny")
        assert len(moves) == self.count
        assert all(not m.doubt and m.after == moved(m.before, m.alias, m.target or 0) for m in moves)
        assert all("lags" in problem for problem in check_log(self.store, TRUST, "tiny", "cpu"))
        record = self.store.get(RECORD)
        if record not in self.records:
            self.records.append(record)


Moves.TestCase.settings = settings(max_examples=40, stateful_step_count=15)
TestMoves = Moves.TestCase
