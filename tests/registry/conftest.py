"""Two homes and an archive between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulators.archives import export
from tests.simulators.released import TinyHome, release, tiny_home


@pytest.fixture
def here(tmp_path: Path) -> TinyHome:
    """A home with a released version."""
    made = tiny_home(tmp_path / "here")
    release(made)
    return made


@pytest.fixture
def there(tmp_path: Path, here: TinyHome) -> TinyHome:
    """Another home, which trusts the first one's key."""
    made = tiny_home(tmp_path / "there")
    made.trusts("first-house", here.signer)
    return made


@pytest.fixture
def archive(here: TinyHome, tmp_path: Path) -> Path:
    """The version in an archive."""
    export(here, "tiny/1", tmp_path / "archive")
    return tmp_path / "archive"
