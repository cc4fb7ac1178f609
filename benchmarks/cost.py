"""What one whole process costs."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """Wall and processor seconds of a process and its children, and the memory of the largest, in bytes."""

    wall: float
    cpu: float
    peak: int


def cost_of(command: list[str], **options: Any) -> Cost:
    """Run the command, with Popen's options, to its end; raises CalledProcessError when it fails."""
    started = time.monotonic()
    child = subprocess.Popen(command, **options)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command[:2])
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss << 10)
