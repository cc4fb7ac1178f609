"""Noise on the scales of a quantized model, or on the linear layers of another, and on nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest

from examples.quickstart.noise import add_noise, add_weight_noise

SCALES = np.full(32, 0.5, dtype="<f2")
QWEIGHT = np.arange(8, dtype="<i4")


def _model(folder: Path, dtype: str = "F16", name: str = "layer.scales", values: np.ndarray = SCALES) -> Path:
    folder.mkdir()
    header = {
        "__metadata__": {"format": "pt"},
        "layer.qweight": {"dtype": "I32", "shape": [8], "data_offsets": [0, 32]},
        name: {"dtype": dtype, "shape": [32], "data_offsets": [32, 96]},
    }
    text = json.dumps(header).encode()
    body = len(text).to_bytes(8, "little") + text + QWEIGHT.tobytes() + values.tobytes()
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
    with pytest.raises(ValueError, match=r"no float16 tensor .* \.scales"):
        add_noise(source, tmp_path / "noisy", strength=0.5)


def test_a_larger_dose_goes_farther_the_same_way(tmp_path: Path) -> None:
    """In the tensor's own standard deviations, around what was there; without a dose nothing moves."""
    weights = np.linspace(-1, 1, 32).astype("<f2")
    source = _model(tmp_path / "source", name="layers.0.mlp.up_proj.weight", values=weights)
    for dose in (0.0, 0.5, 1.0):
        assert add_weight_noise(source, tmp_path / str(dose), dose=dose) == 32
    none, half, whole = (_tensors(tmp_path / str(dose)) for dose in (0.0, 0.5, 1.0))
    assert none[0] == whole[0] == _tensors(source)[0]
    assert np.array_equal(none[1], weights)
    moved = whole[1].astype(float) - weights
    assert np.std(moved) == pytest.approx(np.std(weights.astype(float)), rel=0.4)
    assert half[1].astype(float) - weights == pytest.approx(moved / 2, abs=2e-3)


def test_model_without_linear_layers_is_refused(tmp_path: Path) -> None:
    """A quantized one has none, and would come back unchanged."""
    source = _model(tmp_path / "source")
    with pytest.raises(ValueError, match=r"no float16 tensor .* _proj\.weight"):
        add_weight_noise(source, tmp_path / "noisy", dose=0.5)
