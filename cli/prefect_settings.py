"""How Prefect behaves under the command line: quiet on the terminal, patient while a server starts.

Imported before Prefect is, because Prefect reads its settings from the environment at import. Whatever the
user has set wins.
"""

from __future__ import annotations

import os

_DEFAULTS = {
    # Its limit of 20 s is too short for a first start, with migrations, on two cores.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Errors are told once, in our words; the run's log in the UI keeps everything.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def apply() -> None:
    """Set what the user left open."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
