"""Prompts that drifted between two releases, over simulated engines: nothing is judged, and it shows why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from registry.publish import list_versions
from tests.simulators.project import Project, failed, released

PLAIN, PIRATE = (
    f"<|system|>Be {this}.<|user|>{{{{ messages[0].content }}}}" for this in ("kind", "a pirate")
)


def chat(place: Project, template: str) -> dict[str, Any]:
    """The serve section with this template; the suite is asked as a chat."""
    path = place.folder / "suite.yaml"
    suite = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**suite, "tasks": [{**suite["tasks"][0], "chat": True}]}))
    (place.folder / "template.jinja").write_text(template)
    return {"chat_template": "template.jinja"}


def test_another_template_than_what_is_live_has_is_the_specs_to_mend(place: Project) -> None:
    """A release with it ends as a mistake in the spec, with the difference in the error and on the page."""
    place = place.together()
    place.push()
    released(place, serve=chat(place, PLAIN), rollout={"auto": True})
    code, error = failed(place, serve=chat(place, PIRATE))
    assert (code, error["kind"]) == (2, "UsageError")
    assert "serve.chat_template and serve.max_model_len have to be those of production" in error["why"]
    assert "from production to candidate: <|system|>Be[- kind-]{+ a pirate+}.<|user|>What" in error["why"]
    page = Path(error["next"].removeprefix("open ")).read_text()
    assert "Be<del> kind</del><ins> a pirate</ins>.&lt;|user|&gt;What is it?" in page
    assert len(list_versions(place.store)) == 1
