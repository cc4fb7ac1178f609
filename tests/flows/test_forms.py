"""The forms that Prefect's UI shows for the deployments, and what they refuse before a run exists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.utilities.callables import parameter_schema
from prefect.utilities.importtools import import_object
from prefect.utilities.schema_tools.validation import ValidationError, validate

from flows.collect_garbage import collect_garbage
from flows.fetch import fetch
from flows.promote import promote
from flows.reconcile import reconcile
from flows.regate import regate
from flows.release import release

ROOT = Path(__file__).resolve().parents[2]
FLOWS = (release, fetch, regate, promote, collect_garbage, reconcile)
LEAST = {
    "model": {"uri": "hf://acme/tiny"},
    "quantize": {"calibration": "examples/quickstart/calibration.jsonl"},
    "registry": {"name": "tiny"},
}


def schema(flow: Callable[..., Any]) -> dict[str, Any]:
    """What the UI draws, and the server checks parameters by."""
    return parameter_schema(flow).model_dump()


def deployments() -> dict[str, dict[str, Any]]:
    """The deployments of prefect.yaml by name."""
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    return {deployment["name"]: deployment for deployment in yaml.safe_load(text)["deployments"]}


def fields(form: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field a person may fill in, with where it is."""
    for section, definition in {"": form, **form["definitions"]}.items():
        for name, field in definition.get("properties", {}).items():
            yield f"{section}.{name}".removeprefix("."), field


def refusal(spec: dict[str, Any]) -> str:
    """What the server answers with 409."""
    with pytest.raises(ValidationError) as caught:
        validate({"spec": spec}, schema(release), raise_on_error=True)
    return str(caught.value)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_every_field_says_what_it_is_for(flow: Callable[..., Any]) -> None:
    """Who fills in the form has nothing else to read: a text at the field, or at the section it opens."""
    form = schema(flow)
    silent = []
    for where, field in fields(form):
        references = [field, *field.get("anyOf", [])]
        sections = [form["definitions"][r["$ref"].rpartition("/")[2]] for r in references if "$ref" in r]
        is_section = any("properties" in section for section in sections)
        if not (field.get("description") or is_section):
            silent.append(where)
    assert silent == []


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_the_form_is_flat_enough_to_be_drawn(flow: Callable[..., Any]) -> None:
    """No open objects, no choice but between a value and none: all else the UI shows as raw JSON."""
    form = schema(flow)
    sections = [part for part in form["definitions"].values() if part["type"] == "object"]
    assert all(section["additionalProperties"] is False for section in sections)
    choices = [(where, field["anyOf"]) for where, field in fields(form) if "anyOf" in field]
    assert [where for where, options in choices if len(options) != 2 or {"type": "null"} not in options] == []
    assert "oneOf" not in str(form)


def test_choices_are_lists_to_pick_from() -> None:
    """Enums arrive as enums, numbers with few values too."""
    definitions = schema(release)["definitions"]
    assert definitions["QuantizeEngine"]["enum"] == ["auto", "llm-compressor", "autoawq", "none"]
    assert definitions["Dtype"]["enum"] == ["float16", "bfloat16"]
    assert definitions["Quantize"]["properties"]["group_size"]["enum"] == [32, 64, 128]
    assert definitions["Severity"]["enum"] == ["CRITICAL", "HIGH", "MEDIUM", "LOW"]


def test_a_release_needs_three_sections_and_a_promotion_one_name() -> None:
    """Everything else has a default, so the smallest form is short."""
    assert schema(release)["definitions"]["ReleaseSpec"]["required"] == ["model", "quantize", "registry"]
    assert schema(promote)["required"] == ["version"]
    validate({"spec": LEAST}, schema(release), raise_on_error=True)
    validate({"version": "tiny/1"}, schema(promote), raise_on_error=True)


def test_no_form_asks_for_a_secret() -> None:
    """Prefect stores and shows parameters in plain text; a Secret block's name is none."""
    names = [where.lower() for flow in FLOWS for where, _ in fields(schema(flow))]
    harmless = {"model.token_secret", "compared.key_secret", "loadspec.cache_bytes_per_token"}
    names = [name for name in names if name not in harmless]
    assert [name for name in names if re.search("token(?!s)|secret|password", name)] == []


def test_the_shipped_example_fits_the_form() -> None:
    """What a file may say and what the form may say is the same."""
    example = yaml.safe_load((ROOT / "examples" / "quickstart.yaml").read_text(encoding="utf-8"))
    validate({"spec": example}, schema(release), raise_on_error=True)


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("quantize", {"group_size": 100}, "spec.quantize.group_size"),
        ("quantize", {"bitts": 4}, "bitts"),
        ("model", {"uri": "gs://bucket/tiny"}, "spec.model.uri"),
        ("rollout", {"port": 0}, "spec.rollout.port"),
        ("scan", {"fail_on": ["BAD"]}, "spec.scan.fail_on"),
    ],
)
def test_a_bad_value_is_refused_before_a_run_exists(section: str, values: dict[str, Any], named: str) -> None:
    """The server checks by the same schema, and names the field."""
    assert named in refusal({**LEAST, section: values})


@pytest.mark.parametrize("name", [flow.name for flow in FLOWS])
def test_a_deployment_points_at_its_flow_by_module(name: str) -> None:
    """A file as entrypoint would put flows/ on the import path, where its files shadow packages."""
    deployment = deployments()[name]
    assert ":" not in deployment["entrypoint"]
    flow = import_object(deployment["entrypoint"])
    assert isinstance(flow, Flow)
    assert flow.name == name
    assert deployment["work_pool"]["name"] == "headgate"
    if not deployment.get("schedules"):
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


@pytest.mark.parametrize("flow", [collect_garbage, reconcile], ids=lambda flow: flow.name)
def test_housekeeping_is_scheduled_and_done(flow: Callable[..., Any]) -> None:
    """By default these flows only say what they would do; on the schedule they do it."""
    assert schema(flow)["properties"]["apply"]["default"] is False
    deployment = deployments()[flow.name]
    assert [schedule["timezone"] for schedule in deployment["schedules"]] == ["UTC"]
    assert deployment["parameters"] == {"apply": True}
    validate(deployment["parameters"], schema(flow), raise_on_error=True)


def test_the_schedule_that_is_switched_off_would_work() -> None:
    """Without its comment signs the nightly example is valid YAML, inactive, and fits the form."""
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    assert not any(deployments()[name].get("schedules") for name in ("release", "promote"))
    _, _, tail = text.partition("    # schedules:")
    lines = ["schedules:"]
    for line in tail.splitlines()[1:]:
        if not line.startswith("    #"):
            break
        lines.append(line.removeprefix("    # "))
    [schedule] = yaml.safe_load("\n".join(lines))["schedules"]
    assert schedule["active"] is False
    validate(schedule["parameters"], schema(release), raise_on_error=True)
