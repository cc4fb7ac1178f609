"""What is recorded of a model beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

from registry.digest import Digest
from tasks.model_terms import Terms, read_terms

TEMPLATE = "{{ messages }}"


def test_licence_and_template_are_recorded_by_digest(tmp_path: Path) -> None:
    """The card is read though it is not among the files that are kept."""
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Model")
    (tmp_path / "LICENSE").write_text("Do what you like.")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    terms = read_terms(tmp_path, ["LICENSE", "config.json", "chat_template.jinja"])
    text = Digest.of_bytes(b"Do what you like.")
    assert terms == Terms("mit", {"LICENSE": text}, Digest.of_bytes(TEMPLATE.encode()))
    assert Terms.from_json(json.loads(json.dumps(terms.to_json()))) == terms


def test_a_template_is_the_same_wherever_it_is(tmp_path: Path) -> None:
    """A file of its own counts before the tokenizer's configuration, as for loaders."""
    (tmp_path / "config.json").write_text("{}")
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": TEMPLATE}))
    inside = read_terms(tmp_path, []).chat_template
    config.write_text(json.dumps({"chat_template": [{"name": "tools", "template": TEMPLATE}]}))
    several = read_terms(tmp_path, []).chat_template
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    assert inside == read_terms(tmp_path, []).chat_template == Digest.of_bytes(TEMPLATE.encode())
    assert several not in (inside, None)


def test_a_model_that_says_nothing_has_no_terms(tmp_path: Path) -> None:
    """Nothing is made up."""
    (tmp_path / "config.json").write_text("{}")
    assert read_terms(tmp_path, ["config.json"]) == Terms(None, {}, None)
