"""The lease: one holder at a time whatever stands still, dies or fails, and never for longer than it must."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from registry.dir_store import DirStore
from registry.errors import InfrastructureError, TimedOut
from registry.lease import Contender, free_stale, held, holder_of

_KEY = "leases/x.json"
_TTL = 10.0
_WHO = st.integers(0, 1)
_SLOW = st.sampled_from([0.0, 3.0, 12.0])  # seconds that a request is on its way


class MemoryStore:
    """A Store in memory. ``broken`` is how many of the next swaps are done, or not, and never answered."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.broken: list[bool] = []
        self.before_swap: Callable[[], None] = lambda: None
        self.before_get: Callable[[], None] = lambda: None
        self.after_swap: Callable[[], None] = lambda: None

    def get(self, key: str) -> bytes | None:
        self.before_get()
        return self.values.get(key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self.compare_and_swap(key, None, data)

    def compare_and_swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        self.before_swap()
        fails = self.broken.pop() if self.broken else None
        swaps = self.values.get(key) == expected
        if swaps and fails is not True:
            self.values[key] = new
        self.after_swap()
        if fails is not None:
            raise InfrastructureError("The store does not answer")
        return swaps

    def list(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self.values if key.startswith(prefix)))

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class OneHolderAtATime(RuleBasedStateMachine):
    """Two processes with clocks of their own; any may stop, die, or meet a store that does not answer."""

    @initialize(starts=st.lists(st.floats(0, 1e6), min_size=2, max_size=2))
    def begin(self, starts: list[float]) -> None:
        self.store = MemoryStore()
        self.store.before_swap = self._time_passes
        self.now = 0.0
        self.starts = starts
        self.slow = 0.0
        self.contenders = [self._new(n) for n in range(2)]

    def _new(self, n: int) -> Contender:
        return Contender(self.store, _KEY, f"p{n}", _TTL, lambda: self.starts[n] + self.now)

    def _time_passes(self) -> None:
        self.now += self.slow

    @rule(seconds=st.sampled_from([0.1, 2.0, 4.9, 9.9, 10.1, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(applied=st.booleans())
    def the_store_breaks(self, applied: bool) -> None:
        self.store.broken = [not applied]

    @rule(who=_WHO, slow=_SLOW)
    def take(self, who: int, slow: float) -> None:
        if not self.contenders[who].is_sure():
            self._act(self.contenders[who].take, slow)

    @rule(who=_WHO, other=_WHO, slow=_SLOW)
    def take_while_another_renews(self, who: int, other: int, slow: float) -> None:
        """What a slow request finds is newer than the request."""

        def meanwhile() -> None:
            self.now += slow
            self._act(self.contenders[other].renew, 0.0)

        if who != other and not self.contenders[who].is_sure():
            self.store.before_get = meanwhile
            self._act(self.contenders[who].take, 0.0)
            self.store.before_get = lambda: None

    @rule(who=_WHO, other=_WHO, slow=_SLOW)
    def renew_while_another_looks(self, who: int, other: int, slow: float) -> None:
        """The answer comes long after the change."""

        def meanwhile() -> None:
            self.store.after_swap = lambda: None
            if not self.contenders[other].is_sure():
                self._act(self.contenders[other].take, 0.0)
            self.now += slow

        if who != other:
            self.store.after_swap = meanwhile
            self._act(self.contenders[who].renew, 0.0)
            self.store.after_swap = lambda: None

    @rule(who=_WHO, slow=_SLOW)
    def renew(self, who: int, slow: float) -> None:
        self._act(self.contenders[who].renew, slow)

    @rule(who=_WHO, slow=_SLOW)
    def release(self, who: int, slow: float) -> None:
        self._act(self.contenders[who].release, slow)

    @rule(who=_WHO)
    def die(self, who: int) -> None:
        self.contenders[who] = self._new(who)

    def _act(self, step: Callable[[], object], slow: float) -> None:
        self.slow = slow
        with contextlib.suppress(InfrastructureError):
            step()

    @invariant()
    def at_most_one_is_sure(self) -> None:
        assert sum(contender.is_sure() for contender in self.contenders) <= 1

    @rule(who=_WHO)
    def a_dead_holder_blocks_for_the_ttl_only(self, who: int) -> None:
        """Whoever asks on and on while the others do nothing has it after one ttl, and no store fault."""
        self.store.broken, self.slow = [], 0.0
        me = self.contenders[who]
        for _ in range(8):
            if me.is_sure() or me.take():
                break
            self.now += _TTL / 4
        assert me.is_sure()


TestOneHolderAtATime = OneHolderAtATime.TestCase
TestOneHolderAtATime.settings = settings(max_examples=300, stateful_step_count=40)

_COUNT = """
import sys, time
from pathlib import Path
from registry.dir_store import DirStore
from registry.lease import held
store, file = DirStore(Path(sys.argv[1])), Path(sys.argv[1]) / "count"
for _ in range(8):
    with held(store, "leases/x.json", sys.argv[2], ttl=0.5) as check:
        count = int(file.read_text())
        time.sleep(0.005)
        check()
        file.write_text(str(count + 1))
"""

_HOLD = """
import sys, time
from pathlib import Path
from registry.dir_store import DirStore
from registry.lease import held
with held(DirStore(Path(sys.argv[1])), "leases/x.json", "doomed", ttl=0.8):
    print("held", flush=True)
    time.sleep(99)
"""


def test_processes_take_turns(tmp_path: Path) -> None:
    """Read, change and write of something that has no compare-and-swap loses nothing."""
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", _COUNT, str(tmp_path)]
    root = Path(__file__).parents[2]
    processes = [subprocess.Popen([*command, f"p{n}"], cwd=root) for n in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert (tmp_path / "count").read_text() == "32"
    assert holder_of(DirStore(tmp_path), _KEY) is None


def test_a_killed_holder_is_waited_for_and_then_passed_over(tmp_path: Path) -> None:
    """Its record stays the same for a ttl; nobody's clock is asked what time it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    store = DirStore(tmp_path)
    assert holder_of(store, _KEY) == "doomed"
    started = time.monotonic()
    with held(store, _KEY, "next", ttl=0.1):
        assert holder_of(store, _KEY) == "next"
    assert time.monotonic() - started >= 0.8  # the holder's ttl counts, not the next one's


def test_a_holder_that_works_for_long_keeps_it(tmp_path: Path) -> None:
    """It is renewed all the while, and whoever runs out of patience is told who has it."""
    store = DirStore(tmp_path)
    with held(store, _KEY, "me@here", ttl=2.0) as check:
        with pytest.raises(TimedOut, match="me@here holds it"), held(store, _KEY, "you", 2.0, patience=3.0):
            pass
        check()
    with held(store, _KEY, "you", ttl=0.4, patience=0.0) as check:
        check()


def test_whoever_lost_it_is_told_before_the_next_write() -> None:
    """The check says so, and the lease of whoever has it now is not freed by mistake."""
    store = MemoryStore()
    with held(store, _KEY, "me", ttl=0.2) as check:
        check()
        store.values[_KEY] = b'{"format":1,"holder":"thief","token":"x","beat":1}'
        time.sleep(0.25)
        with pytest.raises(InfrastructureError, match="was lost"):
            check()
    assert holder_of(store, _KEY) == "thief"


def test_a_store_that_fails_for_a_moment_costs_nothing() -> None:
    """A renewal that got no answer is asked for again."""
    store = MemoryStore()
    with held(store, _KEY, "me", ttl=0.8) as check:
        store.broken = [True]
        time.sleep(1.0)
        check()
    assert holder_of(store, _KEY) is None


def test_the_threads_end(tmp_path: Path) -> None:
    """With the block, whatever ends it."""
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), held(DirStore(tmp_path), _KEY, "me"):
        raise ZeroDivisionError
    assert threading.active_count() == before
    assert holder_of(DirStore(tmp_path), _KEY) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format":9}', b'{"holder":1,"ttl":-1}'])
def test_a_damaged_record_is_broken_like_a_stale_one(damage: bytes) -> None:
    """Nobody renews it."""
    store = MemoryStore()
    store.values[_KEY] = damage
    assert holder_of(store, _KEY)
    with held(store, _KEY, "me", ttl=0.2) as check:
        check()


def test_a_stale_lease_is_freed_and_a_live_one_is_not(tmp_path: Path) -> None:
    """What reconcile does."""
    store = DirStore(tmp_path)
    assert not free_stale(store, _KEY)
    assert Contender(store, _KEY, "dead", 0.2).take()
    assert free_stale(store, _KEY)
    assert holder_of(store, _KEY) is None
    with held(store, _KEY, "alive", ttl=10):
        assert not free_stale(store, _KEY)
        assert holder_of(store, _KEY) == "alive"
