"""Every hostile repository that was thought of meets the real fetch, from a real hub; none may enter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.errors import HeadgateError, Refused
from tasks.fetch import Fetched, fetch
from tasks.workplace import open_workplace
from tests.simulators.hostile import URI, Case, honest
from tests.simulators.hostile_cases import CASES
from tests.simulators.hub import HubSimulator

sleep = time.sleep
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "hostile-repositories.md"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubSimulator]:
    """A hub, and a home of its own for who fetches from it."""
    with HubSimulator() as simulator:
        monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_ENDPOINT", simulator.endpoint)
        # Some lies are asked about again and again, after a pause that these tests need not take.
        monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))
        yield simulator


def fetched() -> Fetched:
    """The model as a release gets it."""
    with open_workplace() as place:
        return fetch.fn(place, URI, "main")


def test_the_honest_model_enters(hub: HubSimulator) -> None:
    """Else the refusals below would say nothing."""
    Case("honest", ()).push(hub)
    assert set(fetched().manifest.files) == set(honest())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_in_words_that_fit(hub: HubSimulator, case: Case, tmp_path: Path) -> None:
    """Nothing is kept of it as a result, nothing is written outside the home, and the message says why."""
    case.push(hub)
    with pytest.raises(HeadgateError) as caught:
        fetched()
    text = str(caught.value)
    assert all(word in text for word in case.words), text
    assert text.isprintable(), "a message could steer a terminal"
    assert caught.value.next_step
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert not [path for path in (tmp_path / "home" / "blobs").rglob("*") if path.name != ".lock"]
    left = [path.name for path in (tmp_path / "home" / "cache").glob("downloads/*")]
    assert left == [] or not isinstance(caught.value, Refused)
    assert not any(name.endswith(".lock") for name in left)


def test_the_page_lists_every_case() -> None:
    """``python scripts/make_hostile_table.py`` writes it."""
    assert len(CASES) == len({case.name for case in CASES}) >= 40
    page = PAGE.read_text()
    assert [case.name for case in CASES if f"| {case.name} |" not in page] == []
