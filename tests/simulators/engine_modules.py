"""Engines as modules, for tests of their pure parts: they are programs in a folder, and no package."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from tasks.engine_environment import ENGINES


def load_engine(name: str) -> ModuleType:
    """A program without running it; its siblings lie in its own folder, as when it is run."""
    sys.path.insert(0, str(ENGINES))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ENGINES))
