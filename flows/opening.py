"""Opens the workplace of a flow run: a new run, after the processes that dead runs left behind were ended."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from registry.home import Home
from tasks.reaper import reap_orphans
from tasks.run import open_run
from tasks.workplace import Workplace


@contextmanager
def open_workplace() -> Iterator[Workplace]:
    """A workplace in HEADGATE_HOME for the length of the block."""
    home = Home.from_environment(os.environ)
    reap_orphans(home)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    with open_run(home, run_id) as run:
        yield Workplace(home, run)
