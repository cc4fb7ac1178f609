"""Who acts: the name that the history of aliases and approvals keeps. A claim; the signature is the proof."""

from __future__ import annotations

import getpass
import os
import socket


def actor() -> str:
    """HEADGATE_ACTOR (a person, a CI job), or the user and host of this process."""
    if named := os.environ.get("HEADGATE_ACTOR"):
        return named
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
