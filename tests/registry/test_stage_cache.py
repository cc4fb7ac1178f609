"""The stage cache: the same inputs find the same result, and damage is a miss."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.digest import Digest
from registry.stage_cache import StageCache, stage_key

_KEY = stage_key("quantize", weights=Digest.of_bytes(b"w"), recipe={"bits": 4})


def test_a_result_is_found_by_its_inputs_only(tmp_path: Path) -> None:
    """Another stage or another input is another result."""
    StageCache(tmp_path).put("quantize", _KEY, {"ok": True, "seconds": 1.5})
    again = StageCache(tmp_path)
    assert again.get("quantize", _KEY) == {"ok": True, "seconds": 1.5}
    assert again.get("evaluate", _KEY) is None
    assert again.get("quantize", stage_key("quantize")) is None


def test_the_key_covers_the_stage_and_takes_digests() -> None:
    """Two stages with the same inputs do not share a key."""
    assert stage_key("a", x=1) != stage_key("b", x=1)
    assert stage_key("a", x=1, y=2) == stage_key("a", y=2, x=1)
    assert stage_key("a", x=Digest.of_bytes(b"")) == stage_key("a", x=str(Digest.of_bytes(b"")))


@pytest.mark.parametrize("length", [0, 1, 20, 60, -1])
def test_a_truncated_entry_is_a_miss_and_can_be_written_again(tmp_path: Path, length: int) -> None:
    """Wherever the file ends."""
    cache = StageCache(tmp_path)
    cache.put("s", _KEY, {"value": "long enough to be cut"})
    file = next(tmp_path.rglob("*.json"))
    file.write_bytes(file.read_bytes()[:length])
    assert cache.get("s", _KEY) is None
    cache.put("s", _KEY, {"value": 2})
    assert cache.get("s", _KEY) == {"value": 2}


@given(st.binary(max_size=40) | st.sampled_from([b"[]", b"null", b'{"result":{}}', b"[" * 100_000]))
def test_garbage_is_a_miss(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    """No content of the file makes reading it crash."""
    root = tmp_path_factory.mktemp("cache", numbered=True)
    (root / "s").mkdir()
    (root / "s" / f"{_KEY.hex}.json").write_bytes(garbage)
    assert StageCache(root).get("s", _KEY) is None


def test_an_edited_result_is_a_miss(tmp_path: Path) -> None:
    """A figure changed by hand does not become a result."""
    cache = StageCache(tmp_path)
    cache.put("s", _KEY, {"seconds": 1})
    file = next(tmp_path.rglob("*.json"))
    file.write_bytes(file.read_bytes().replace(b'"seconds":1', b'"seconds":2'))
    assert cache.get("s", _KEY) is None
