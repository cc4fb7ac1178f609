"""Which Trivy may run: the pinned content, or an allowed version that the user chose."""

from __future__ import annotations

from pathlib import Path

from images.pins import Pin, Pins
from images.trivy_finder import Candidate, Place, choose, find_trivy
from registry.digest import Digest
from tests.simulators.records import digest

_PINS = Pins((Pin("0.76.0", digest("good"), "test"),))
_PACKAGED = Candidate(Place.PACKAGE, Path("/venv/bin/trivy"), digest("good"))


def _candidate(place: Place, content: str | None, version: str | None = None) -> Candidate:
    return Candidate(place, Path("/x/trivy"), digest(content) if content else None, version)


def test_the_first_allowed_place_wins() -> None:
    """HEADGATE_TRIVY before PATH before the package."""
    places = [_candidate(Place.VARIABLE, "good"), _candidate(Place.PATH, "good"), _PACKAGED]
    for index, place in enumerate(places):
        trivy = choose(places[index:], _PINS).trivy
        assert trivy
        assert (trivy.path, trivy.pinned, trivy.version) == (place.path, True, "0.76.0")


def test_another_build_of_an_allowed_version_is_used_and_marked() -> None:
    """A distribution's own build has other content; the evidence says that it was not checked."""
    trivy = choose([_candidate(Place.PATH, "rebuilt", "0.76.0"), _PACKAGED], _PINS).trivy
    assert trivy
    assert not trivy.pinned
    assert trivy.digest == digest("rebuilt")


def test_a_version_off_the_list_on_the_path_is_passed_over_with_a_note() -> None:
    """Such as one of the malicious releases."""
    choice = choose([_candidate(Place.PATH, "evil", "0.69.4"), _PACKAGED], _PINS)
    assert choice.trivy
    assert choice.trivy.path == _PACKAGED.path
    assert "0.69.4" in choice.notes[0]


def test_an_explicit_choice_is_used_or_refused() -> None:
    """Falling back in silence would scan with something else than was asked for."""
    for bad in (_candidate(Place.VARIABLE, None), _candidate(Place.VARIABLE, "evil", "0.69.4")):
        choice = choose([bad, _PACKAGED], _PINS)
        assert choice.trivy is None
        assert "HEADGATE_TRIVY" in choice.notes[0]


def test_the_package_has_to_be_the_pinned_one() -> None:
    """It is a third party's repack: its content is checked, its version is not asked."""
    choice = choose([_candidate(Place.PACKAGE, "repacked", "0.76.0")], _PINS)
    assert choice.trivy is None
    assert "not pinned" in choice.notes[0]


def test_nothing_found_says_what_to_install() -> None:
    """With the allowed version."""
    choice = choose([], _PINS)
    assert choice.trivy is None
    assert "0.76.0" in choice.notes[0]


def test_pinned_content_is_never_run_to_know_it(tmp_path: Path) -> None:
    """Only a binary of the user's own, with other content, is asked for its version."""
    asked: list[Path] = []
    binary = tmp_path / "trivy"
    binary.write_bytes(b"#!/bin/sh\n")
    binary.chmod(0o755)

    def ask(path: Path) -> str | None:
        asked.append(path)
        return "0.76.0"

    known = Pins((Pin("0.76.0", Digest.of_file(binary), "test"),))
    env = {"PATH": str(tmp_path)}
    assert find_trivy(env, known, ask).trivy
    assert asked == []
    choice = find_trivy(env, _PINS, ask)
    assert choice.trivy
    assert asked == [binary]
    assert find_trivy({"HEADGATE_TRIVY": str(tmp_path / "none")}, _PINS, ask).trivy is None
