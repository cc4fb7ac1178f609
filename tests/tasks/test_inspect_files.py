"""Looking into downloaded files. What is refused, and how it is said, is in test_hostile_repos."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from registry.errors import Refused
from tasks.inspect_files import inspect
from tests.simulators.hostile import FIRST, INDEX, SECOND, SHARD, honest, sharded
from tests.simulators.weights import safetensors

TENSORS = 64  # sampled of a file
MIB = 1 << 20


def written(folder: Path, files: dict[str, bytes | None]) -> list[str]:
    """Write the files that are not None; their names."""
    there = {path: data for path, data in files.items() if data is not None}
    for path, data in there.items():
        (folder / path).write_bytes(data)
    return list(there)


def refusal(folder: Path, *paths: str) -> str:
    """What these files are refused for."""
    with pytest.raises(Refused) as caught:
        inspect(folder, paths, "org/model")
    return str(caught.value)


def test_a_sound_model_passes_in_one_go_or_weights_last(tmp_path: Path) -> None:
    """The rest is looked at before the weights are there; then the index must fit them."""
    paths = written(tmp_path, {**honest(), **sharded({"a": FIRST, "b": SECOND})})
    inspect(tmp_path, paths, "org/model")
    inspect(tmp_path, [path for path in paths if not path.endswith(".safetensors")], "org/model")
    inspect(tmp_path, [FIRST, SECOND], "org/model")


def test_an_index_counts_though_it_came_before_the_weights(tmp_path: Path) -> None:
    """It lies in the folder by then."""
    written(tmp_path, sharded({"a": SECOND, "b": SECOND}))
    assert INDEX in refusal(tmp_path, FIRST, SECOND)


def test_one_shard_of_two_is_no_model(tmp_path: Path) -> None:
    """Without an index only the names tell."""
    files = sharded({"a": FIRST, "b": SECOND})
    written(tmp_path, {FIRST: files[FIRST], SECOND: files[SECOND]})
    inspect(tmp_path, [FIRST, SECOND], "org/model")
    assert f"one of 2 shards, and {FIRST} is not there" in refusal(tmp_path, SECOND)


@pytest.mark.parametrize("kind", ["BOOL", "U8", "I8", "I32", "I64", "U16"])
def test_whole_numbers_are_never_none(tmp_path: Path, kind: str) -> None:
    """All bits set is a number like any other there, as in packed weights."""
    written(tmp_path, {SHARD: safetensors({"a": (kind, (8 // width(kind),), b"\xff" * 8)})})
    inspect(tmp_path, [SHARD], "org/model")


def width(kind: str) -> int:
    """Bytes of a type."""
    return {"I32": 4, "I64": 8, "U16": 2}.get(kind, 1)


@pytest.mark.parametrize(
    ("kind", "largest"),
    [
        ("F64", struct.pack("<d", 1.7976931348623157e308)),
        ("F32", b"\xff\xff\x7f\x7f"),
        ("F16", b"\xff\x7b"),
        ("BF16", b"\x7f\x7f"),
        ("F8_E5M2", b"\x7b"),
        ("F8_E4M3", b"\x7e"),
        ("F8_E8M0", b"\xfe"),
        ("F8_E4M3FNUZ", b"\x7f"),
        ("F8_E5M2FNUZ", b"\xff"),
    ],
)
def test_the_largest_number_of_a_type_is_one(tmp_path: Path, kind: str, largest: bytes) -> None:
    """One bit more is infinity or NaN, or wraps."""
    written(tmp_path, {SHARD: safetensors({"a": (kind, (1,), largest)})})
    inspect(tmp_path, [SHARD], "org/model")
    following = (int.from_bytes(largest, "little") + 1) % 256 ** len(largest)
    beyond = following.to_bytes(len(largest), "little") if following else b"\x80"
    written(tmp_path, {SHARD: safetensors({"a": (kind, (1,), beyond)})})
    assert "NaN or infinite" in refusal(tmp_path, SHARD)


def test_a_sample_is_the_same_for_the_same_file(tmp_path: Path) -> None:
    """One broken number in 32 MiB may be missed; never once this way and once the other."""
    data = bytearray(32 * MIB)
    data[20 * MIB : 20 * MIB + 2] = b"\x00\x7c"
    written(tmp_path, {SHARD: safetensors({"a": ("F16", (16 * MIB,), bytes(data))})})
    verdicts = set()
    for _ in range(3):
        try:
            inspect(tmp_path, [SHARD], "org/model")
            verdicts.add("passed")
        except Refused:
            verdicts.add("refused")
    assert len(verdicts) == 1


def test_one_tensor_in_a_hundred_may_be_missed_all_of_them_not(tmp_path: Path) -> None:
    """Sixty-four are looked at."""
    broken = {f"{n}": ("F16", (1,), b"\x00\x7e") for n in range(TENSORS)}
    sound = {f"s{n}": ("F16", (1,), b"\x00\x00") for n in range(10)}
    written(tmp_path, {SHARD: safetensors({**broken, **sound})})
    assert "NaN or infinite" in refusal(tmp_path, SHARD)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """However it came into the folder."""
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "config.json").symlink_to(tmp_path / "secret")
    assert "link" in refusal(tmp_path, "config.json")


def test_a_word_may_be_called_like_a_key(tmp_path: Path) -> None:
    """A vocabulary is no configuration."""
    words = json.dumps({"auto_map": 7, "trust_remote_code": 8}).encode()
    inspect(tmp_path, written(tmp_path, {"vocab.json": words, "tokenizer.json": words}), "org/model")
