"""Licences as models name them, and what a spec allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import Refused
from registry.licence import licence_of, refuse_licence


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("license: apache-2.0", "apache-2.0"),
        ("tags:\n- a\nlicense: 'MIT' # said the author\nlanguage: en", "mit"),
        ("license:\n- mit\n- apache-2.0", "mit, apache-2.0"),
        ("license: [mit, apache-2.0]", "mit, apache-2.0"),
        ("license: other\nlicense_name: Llama-4-Community", "llama-4-community"),
        ("license: other", "other"),
        ("license:", None),
        ("license: mit\nlicense: agpl-3.0", None),
        ("model-index:\n  license: mit", None),
        ("license: [mit,\n  gpl-3.0]", "mit, gpl-3.0"),
        ("license:\n- mit\n\n- gpl-3.0", "mit, gpl-3.0"),
        ("license:\n- mit\n# x\n- gpl-3.0", "mit, gpl-3.0"),
        ('"license": gpl-3.0', "gpl-3.0"),
        ("license: >-\n  mit", "mit"),
        ("license: [mit", None),
        ("? [a]\n: b\nlicense: mit", None),
        ("license: {name: mit}", None),
        ("license:\n- [mit]", None),
        ("base: &a {license: gpl-3.0}\n<<: *a\nlicense: mit", None),
        ("- license: mit", None),
        ("license: " + "[" * 3000, None),
        ("tags: [" + "a, " * 40_000 + "]\nlicense: mit", None),
        ("", None),
    ],
)
def test_the_licence_on_a_card(front: str, expected: str | None) -> None:
    """In YAML's usual spellings, at the top level; given twice, it is none."""
    assert licence_of(f"---\n{front}\n---\n# Model\nlicense: gpl-3.0\n", {}) == expected
    assert licence_of(f"---\n{front}\n---".replace("\n", "\r\n"), {}) == expected


def test_a_card_without_front_matter_leaves_it_to_the_configuration() -> None:
    """The card counts where both name one."""
    assert licence_of("# Model\nlicense: mit", {"license": "Apache-2.0"}) == "apache-2.0"
    assert licence_of("---\nlicense: mit\n---\n", {"license": "apache-2.0"}) == "mit"
    assert licence_of("", {"license": ["mit"]}) is None
    assert licence_of("---\nlicense: gpl-3.0\nlicense: gpl-3.0\n---\n", {"license": "mit"}) is None
    assert licence_of("---\nlicense: [gpl-3.0\n---\n", {"license": "mit"}) is None
    assert licence_of("---\ntags: [a]\n---\n", {"license": "mit"}) == "mit"
    assert licence_of("", {}) is None


@given(st.text() | st.text().map(lambda text: f"---\nlicense: {text}\n---\n"))
def test_any_card_has_a_licence_or_none(card: str) -> None:
    """Strangers write them."""
    licence = licence_of(card, {})
    assert licence is None or licence


def test_an_empty_list_allows_any_licence() -> None:
    """And none, too."""
    refuse_licence(None, [], "org/model")
    refuse_licence("cc-by-nc-4.0", [], "org/model")


def test_a_licence_on_the_list_is_allowed_whatever_its_case() -> None:
    """SPDX writes Apache-2.0, the hub apache-2.0."""
    refuse_licence("apache-2.0", ["Apache-2.0", "MIT"], "org/model")
    refuse_licence("mit, apache-2.0", ["Apache-2.0", "MIT"], "org/model")


def test_another_licence_is_refused_and_both_sides_are_named() -> None:
    """Of several, each must be allowed."""
    with pytest.raises(Refused, match=r"under the licence 'cc-by-nc-4\.0'") as caught:
        refuse_licence("mit, cc-by-nc-4.0", ["MIT"], "org/model")
    assert "model.licences allows MIT" in str(caught.value)
    assert "org/model" in str(caught.value)


def test_no_licence_is_none_of_those_allowed() -> None:
    """All rights reserved is what that means."""
    with pytest.raises(Refused, match="org/model names no licence"):
        refuse_licence(None, ["mit"], "org/model")
