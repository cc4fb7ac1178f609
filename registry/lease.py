"""A lease: one holder at a time, over a Store key, for what has no compare-and-swap of its own.

No machine's clock is compared with another's. The holder changes the record while it holds it; whoever
waits breaks the lease once it has *watched* the same bytes for the ``ttl`` they name, in seconds of its own
monotonic clock.
The holder counts a little less, from before its last renewal, so it knows that it lost the lease before
anybody can have taken it. A write that is on its way at that moment can still land late: whoever writes
under a lease reads back, and ``reconcile`` repairs.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator

from registry.digest import canonical_json
from registry.errors import HeadgateError, InfrastructureError, TimedOut
from registry.store import Store

_FORMAT = 1
_FREE = canonical_json({"format": _FORMAT, "holder": None})
_TTL = 30.0  # seconds
_LONGEST_TTL = 3600.0
_OURS = 0.9  # of the ttl: no two clocks run at quite the same rate
_POLLS = 20  # looks at somebody else's lease per ttl
_RENEWALS = 4  # per ttl, so that one or two may fail
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # also counts while the machine sleeps


def _seconds() -> float:
    return time.clock_gettime(_CLOCK)


class Contender:
    """One wish to hold the lease ``key``. Each method does one thing and returns at once.

    ``holder`` is for people who wait to read; ``clock`` gives seconds that only this process counts.
    """

    def __init__(
        self, store: Store, key: str, holder: str, ttl: float, clock: Callable[[], float] = _seconds
    ) -> None:
        self._store, self._key, self._ttl, self._clock = store, key, ttl, clock
        self._mine = {"format": _FORMAT, "holder": holder, "ttl": ttl, "token": secrets.token_hex(8)}
        self._beat = 0
        self._until: float | None = None
        self._held: bytes | None = None
        self._watched: bytes | None = None
        self._since = 0.0

    def take(self) -> bool:
        """Take the lease if it is free, or stale by now; returns whether it is ours."""
        found = self._store.get(self._key)
        if found in (None, _FREE):
            return self._swap(found)
        if found != self._watched:
            # After the answer, not before: nobody can have renewed later than this without changing it.
            self._watched, self._since = found, self._clock()
            return False
        return self._clock() - self._since >= _ttl(found, self._ttl) and self._swap(found)

    def renew(self) -> bool:
        """Hold it for another ``ttl``; False when it was lost."""
        return self.is_sure() and self._swap(self._held)

    def is_sure(self) -> bool:
        """Whether nobody else can hold it now."""
        return self._until is not None and self._clock() < self._until

    def release(self) -> None:
        """Free it, if it is still ours."""
        held, self._held, self._until = self._held, None, None
        if held is not None:
            self._store.compare_and_swap(self._key, held, _FREE)

    def blocker(self) -> str:
        """Who held it when last looked at."""
        return _holder(self._watched) or "somebody"

    def _swap(self, expected: bytes | None) -> bool:
        asked = self._clock()  # before the request: others may count from any moment after
        self._beat += 1
        new = canonical_json({**self._mine, "beat": self._beat})
        if not self._store.compare_and_swap(self._key, expected, new):
            self._until = None
            return False
        self._held, self._until = new, asked + self._ttl * _OURS
        return True


@contextlib.contextmanager
def held(
    store: Store, key: str, holder: str, ttl: float = _TTL, patience: float = 120.0
) -> Iterator[Callable[[], None]]:
    """Hold the lease in this block, renewed all the while; gives a check to call right before each write.

    The check raises InfrastructureError once the lease may be somebody else's. Waits up to ``patience``
    seconds for the lease, then raises TimedOut. ``ttl`` seconds are how long a dead holder blocks others.
    """
    contender = Contender(store, key, holder, ttl)
    _wait(contender, key, ttl, patience)
    ended = threading.Event()
    thread = threading.Thread(target=_keep, args=(contender, ended, ttl / _RENEWALS), daemon=True)
    thread.start()

    def check() -> None:
        if not contender.is_sure():
            why = f"it was not renewed for {ttl:g} s: the store, or this process, stood still for too long"
            raise InfrastructureError(f"The lease {key} was lost", why=why, next_step="run it again")

    try:
        yield check
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(HeadgateError):  # a lease that is not freed goes stale by itself
            contender.release()


def holder_of(store: Store, key: str) -> str | None:
    """Who holds the lease, dead or alive; None when it is free."""
    return _holder(store.get(key))


def free_stale(store: Store, key: str) -> bool:
    """Watch a lease for as long as it may stand still and free it if its holder is dead; whether it was."""
    before = store.get(key)
    ttl = _ttl(before, _TTL)
    contender = Contender(store, key, "reconcile", ttl)
    ends = _seconds() + ttl * (1 + 2 / _POLLS)
    while before not in (None, _FREE) and _seconds() < ends:
        if store.get(key) != before:
            return False
        if contender.take():
            contender.release()
            return True
        time.sleep(ttl / _POLLS)
    return False


def _wait(contender: Contender, key: str, ttl: float, patience: float) -> None:
    ends = _seconds() + patience
    while not contender.take():
        if _seconds() > ends:
            raise TimedOut(
                f"The lease {key} was not free for {patience:g} s",
                why=f"{contender.blocker()} holds it and renews it",
                next_step="wait for that to end, and run the same command again",
            )
        time.sleep(ttl / _POLLS * (0.5 + secrets.randbelow(1000) / 1000))


def _keep(contender: Contender, ended: threading.Event, interval: float) -> None:
    while not ended.wait(interval):
        with contextlib.suppress(HeadgateError):  # the next try may succeed, until is_sure() ends
            if not contender.renew():
                return


def _ttl(record: bytes | None, default: float) -> float:
    """For how long the record may stand still while its holder lives, in seconds."""
    try:
        ttl = float(json.loads(record or b"")["ttl"])
    except (ValueError, KeyError, TypeError):
        return default
    return ttl if 0 < ttl <= _LONGEST_TTL else default


def _holder(record: bytes | None) -> str | None:
    try:
        holder = json.loads(_FREE if record is None else record)["holder"]
    except (ValueError, KeyError, TypeError):
        return "an unreadable record"  # not ours to judge: nobody renews it, so it is broken as a stale one
    return None if holder is None else str(holder)
