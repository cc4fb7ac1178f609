"""Calibration texts from this disk and from a dataset on a hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.errors import HeadgateError, UsageError
from tasks.calibration import calibration_file
from tasks.workplace import Workplace, open_workplace
from tests.simulators.hub import Answer, HubSimulator

TEXTS = b'{"text": "one"}\n{"text": "two"}\n'
FILE = "data/texts.jsonl"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubSimulator]:
    """A hub with a dataset."""
    with HubSimulator() as simulator:
        simulator.push("datasets/org/texts", {FILE: TEXTS, "README.md": b""})
        monkeypatch.setenv("HF_ENDPOINT", simulator.endpoint)
        yield simulator


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """A home of its own."""
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with open_workplace() as place:
        yield place


def address(hub: HubSimulator, path: str = FILE) -> str:
    """The file at the commit the dataset is at."""
    return f"hf://datasets/org/texts@{hub.repositories['datasets/org/texts'].branches['main']}/{path}"


def refusal(place: Workplace, where: str, kind: type[HeadgateError] = UsageError) -> str:
    """What the error says."""
    with pytest.raises(kind) as refused:
        calibration_file(place, where, 1, None)
    return str(refused.value)


def test_a_file_of_a_dataset_is_fetched_once_and_verified(hub: HubSimulator, workplace: Workplace) -> None:
    """By its commit, so that it stays the same texts; corrupted on the way, it is fetched again."""
    hub.corrupt["texts.jsonl"] = 1
    assert calibration_file(workplace, address(hub), 1, None).read_bytes() == TEXTS
    hub.requests.clear()
    assert calibration_file(workplace, address(hub), 1, None).read_bytes() == TEXTS
    assert hub.requests == []


def test_a_gated_dataset_needs_a_token(
    hub: HubSimulator, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a gated model does."""
    hub.token = "hf_" + "secret00" * 4
    assert "HF_TOKEN" in refusal(workplace, address(hub))
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert calibration_file(workplace, address(hub), 1, None).read_bytes() == TEXTS


def test_a_dataset_that_is_not_there_is_the_specs_mistake(hub: HubSimulator, workplace: Workplace) -> None:
    """Whether the hub says so in its own words, or with a bare 404; a token may be what is missing."""
    where = address(hub).replace("org/texts", "org/none")
    for lie in (None, lambda _path, _answer: Answer(404)):
        hub.lie = lie
        said = refusal(workplace, where)
        assert "the dataset org/none is not at" in said
        assert "HF_TOKEN" in said


def test_a_gated_dataset_names_the_token(hub: HubSimulator, workplace: Workplace) -> None:
    """It is listed for everyone, and its files are not."""
    hub.gated = True
    said = refusal(workplace, address(hub))
    assert "the dataset org/texts is gated" in said
    assert "HF_TOKEN" in said


def test_fewer_texts_than_samples_are_too_few(
    hub: HubSimulator, workplace: Workplace, tmp_path: Path
) -> None:
    """Both numbers are said; empty texts are none, as for the engines."""
    path = tmp_path / "texts.jsonl"
    path.write_bytes(TEXTS + b'{"text": " "}\n')
    for where in (str(path), address(hub)):
        assert calibration_file(workplace, where, 2, None)
        with pytest.raises(UsageError, match="uses 3 samples, and 2 texts are there") as caught:
            calibration_file(workplace, where, 3, None)
        assert "to 2 or less" in caught.value.next_step
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="uses 1 samples, and 0 texts"):
        calibration_file(workplace, str(path), 1, None)


@pytest.mark.parametrize(
    "where",
    [
        "hf://datasets/org/texts/data/texts.jsonl",
        "hf://datasets/org/texts@main/data/texts.jsonl",
        f"hf://datasets/org/texts@{'a' * 40}/data/texts.parquet",
        f"hf://org/texts@{'a' * 40}/texts.jsonl",
    ],
)
def test_an_address_that_does_not_pin_a_file(hub: HubSimulator, workplace: Workplace, where: str) -> None:
    """Said with the form it has to have, before the hub is asked."""
    assert "hf://datasets/ORG/NAME@COMMIT/FILE.jsonl" in refusal(workplace, where)
    assert hub.requests == []


def test_a_file_that_the_dataset_does_not_have(hub: HubSimulator, workplace: Workplace) -> None:
    """What it has is listed."""
    assert FILE in refusal(workplace, address(hub, "other.jsonl"))


def test_a_file_of_this_disk_that_is_not_there(workplace: Workplace, tmp_path: Path) -> None:
    """The key of the spec is named."""
    assert "quantize.calibration" in refusal(workplace, str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"text": "one"}\n{"txt": "two"}\n', 'line 2 is no object with a "text"'),
        (b'\xef\xbb\xbf{"text": "one"}\n', "byte order mark"),
        (b"words\n", "line 1 is no object"),
        (b'{"text": 5}\n', "line 1 is no object"),
        (b'["text"]\n', "line 1 is no object"),
        (b'{"text": "\xff"}\n', "it is not UTF-8"),
    ],
)
def test_lines_that_are_no_texts_are_said_before_an_engine_starts(
    workplace: Workplace, tmp_path: Path, content: bytes, said: str
) -> None:
    """With the file and the line; blank lines are none."""
    path = tmp_path / "texts.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        calibration_file(workplace, str(path), 1, None)
    path.write_bytes(b'\n{"text": "one"}\n\n')
    assert calibration_file(workplace, str(path), 1, None) == path
