"""How flows end in Prefect when a user asked for what cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.promote import promote
from flows.release import release
from flows.spec import ReleaseSpec
from registry.errors import UsageError
from tests.simulators.hub import HubSimulator

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubSimulator]:
    """A hub without models, and an empty home."""
    with HubSimulator() as simulator:
        monkeypatch.setenv("HF_ENDPOINT", simulator.endpoint)
        monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "home"))
        yield simulator


def spec(**sections: object) -> ReleaseSpec:
    """A spec of a model that no hub has, with some sections of the test's own."""
    least = {
        "model": {"uri": "hf://acme/absent"},
        "quantize": {"engine": "none"},
        "registry": {"name": "tiny"},
    }
    return ReleaseSpec.model_validate(least | sections)


def test_a_release_of_an_absent_model_fails_with_our_paragraph(hub: HubSimulator) -> None:
    """The state's message is what the command line would print; the flow run is Failed, not Crashed."""
    state = release(spec(), return_state=True)
    assert state.is_failed()
    assert f"acme/absent is not at {hub.endpoint}" in state.message
    assert "Next: " in state.message


def test_a_caller_gets_the_error_itself(hub: HubSimulator) -> None:
    """The command line takes the exit code from the error, so it has to come through Prefect unharmed."""
    with pytest.raises(UsageError, match="no suite is called 'smokee'") as caught:
        release(spec(evaluate={"suite": "smokee"}))
    assert caught.value.next_step
    assert hub.requests == []


@pytest.mark.usefixtures("hub")
def test_a_promotion_of_an_unknown_version_fails_with_our_paragraph() -> None:
    """The message says what there is instead."""
    state = promote("tiny/7", return_state=True)
    assert state.is_failed()
    assert "There is no version tiny/7" in state.message
    assert "Next: " in state.message
