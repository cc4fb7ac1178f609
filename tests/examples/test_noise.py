"""Noise on the scales of a quantized model, and on nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest

from examples.quickstart.noise import add_noise, scale_tensors

SCALES = np.full(32, 0.5, dtype="<f2")
QWEIGHT = np.arange(8, dtype="<i4")


def _model(folder: Path, dtype: str = "F16") -> Path:
    folder.mkdir()
    header = {
        "__metadata__": {"format": "pt"},
        "layer.qweight": {"dtype": "I32", "shape": [8], "data_offsets": [0, 32]},
        "layer.scales": {"dtype": dtype, "shape": [32], "data_offsets": [32, 96]},
    }
    text = json.dumps(header).encode()
    body = len(text).to_bytes(8, "little") + text + QWEIGHT.tobytes() + SCALES.tobytes()
    (folder / "model.safetensors").write_bytes(body)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder


def _tensors(folder: Path) -> tuple[bytes, np.ndarray]:
    data = (folder / "model.safetensors").read_bytes()
    return data[:-64], np.frombuffer(data[-64:], dtype="<f2")


def test_only_scales_change(tmp_path: Path) -> None:
    """The header, the packed weights and the other files are the source's."""
    source = _model(tmp_path / "source")
    assert add_noise(source, tmp_path / "noisy", strength=0.5, seed=1) == 32
    before, after = _tensors(source), _tensors(tmp_path / "noisy")
    assert before[0] == after[0]
    assert not np.array_equal(before[1], after[1])
    assert np.isfinite(after[1]).all()
    assert (tmp_path / "noisy" / "config.json").read_text(encoding="utf-8") == "{}"


def test_source_is_left_alone(tmp_path: Path) -> None:
    """Its files may be hard links to what Headgate keeps."""
    source = _model(tmp_path / "source")
    add_noise(source, tmp_path / "noisy", strength=0.5)
    assert np.array_equal(_tensors(source)[1], SCALES)


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """And another seed others."""
    source = _model(tmp_path / "source")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        add_noise(source, tmp_path / name, strength=0.5, seed=seed)
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_model_without_scales_is_refused(tmp_path: Path) -> None:
    """It would come back unchanged and be called noisy."""
    source = _model(tmp_path / "source", dtype="I16")
    assert list(scale_tensors(source / "model.safetensors")) == []
    with pytest.raises(ValueError, match="not an AWQ model"):
        add_noise(source, tmp_path / "noisy", strength=0.5)
