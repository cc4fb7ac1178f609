"""Opens and ends flow runs: a new run once dead runs' processes are gone; an error in our own words."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from prefect.states import Failed

from registry.errors import HeadgateError
from registry.home import Home
from tasks.reaper import reap_orphans
from tasks.run import open_run
from tasks.workplace import Workplace


def told(error: HeadgateError) -> dict[str, Any]:
    """How a flow ends on an error of ours: Prefect shows its paragraph, callers get it raised."""
    state: Any = Failed(message=str(error), data=error)
    return cast("dict[str, Any]", state)  # a returned state becomes the flow's own


@contextmanager
def open_workplace() -> Iterator[Workplace]:
    """A workplace in HEADGATE_HOME for the length of the block."""
    home = Home.from_environment(os.environ)
    reap_orphans(home)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    with open_run(home, run_id) as run:
        yield Workplace(home, run)
