"""What a spec file may say, and what it is told when it is wrong."""

from __future__ import annotations

import contextlib
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eval_suites.fidelity import Limits
from eval_suites.suite import find_suite
from flows.spec import ReleaseSpec, Section, anchor, load_spec, parse_spec
from flows.spec_gates import Fidelity
from flows.translate import limits_of, plan_of, scan_policy_of, serve_config_of, waiver_of
from registry.errors import UsageError

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "quickstart.yaml"


def example() -> dict[str, Any]:
    value = yaml.safe_load(EXAMPLE.read_text())
    assert isinstance(value, dict)
    return value


def test_the_example_loads_and_its_files_exist() -> None:
    """The shipped example is the documentation, so it has to be right."""
    spec = load_spec(EXAMPLE)
    assert spec.quantize.calibration is not None
    assert Path(spec.quantize.calibration).is_file()
    assert plan_of(spec.rollout).weights == (5, 25, 50, 100)
    assert serve_config_of(spec.serve).extra_args == ("--enforce-eager",)
    assert scan_policy_of(spec.scan).max_database_age_days == 7
    assert spec.evaluate.fidelity is not None
    assert limits_of(spec.evaluate.fidelity) == limits_of(Fidelity()) == Limits()


def test_the_page_on_models_begins_with_a_whole_spec() -> None:
    """Who copies it has one to release, and to fetch."""
    page = (EXAMPLE.parents[1] / "docs" / "how-to" / "models.md").read_text()
    snippet = textwrap.dedent(page[page.index("    model:") : page.index("\n\n`headgate fetch SPEC`")])
    assert parse_spec(yaml.safe_load(snippet), where="the page").registry.name == "mistral-7b"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("./my model", "file:///specs/my%20model"),
        ("/models/tiny", "file:///models/tiny"),
        ("s3://bucket/models/Tiny", "s3://bucket/models/Tiny"),
        ("oci://registry.example.com/acme/tiny:v1", "oci://registry.example.com/acme/tiny:v1"),
    ],
)
def test_a_model_may_come_from_elsewhere_than_a_hub(uri: str, expected: str) -> None:
    """A folder counts from the spec, and is recorded in full."""
    spec = parse_spec(example() | {"model": {"uri": uri}}, where="spec")
    assert anchor(spec, Path("/specs")).model.uri == expected


def test_the_example_documents_every_key() -> None:
    """No key of the model is missing from the example, and each has a comment above it or its section."""

    def keys(section: type[Section], written: dict[str, Any], path: str) -> list[str]:
        missing = [f"{path}{name}" for name in section.model_fields if name not in written]
        for name, field in section.model_fields.items():
            kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
            nested = [k for k in kinds if isinstance(k, type) and issubclass(k, Section)]
            if nested and isinstance(written.get(name), dict):
                missing += keys(nested[0], written[name], f"{path}{name}.")
        return missing

    assert keys(ReleaseSpec, example(), "") == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"quantise": {}}, "quantise: unknown key; did you mean 'quantize'?"),
        ({"rollout": {"weigths": [5, 100]}}, "rollout.weigths"),
        ({"model": {"uri": "https://example.com/x"}}, "model.uri"),
        ({"quantize": {"engine": "autoawq"}}, "calibration"),
        ({"serve": {"dtype": "float8"}}, "serve.dtype"),
        ({"scan": {"waiver": {"owner": "me", "reason": "no"}}}, "scan.waiver.reason"),
        (
            {"scan": {"waiver": {"owner": "me", "reason": "long enough it is", "valid_for": "for ever"}}},
            "valid_for",
        ),
        ({"evaluate": {"fidelity": {"max_kll": 1}}}, "evaluate.fidelity.max_kll"),
        ({"evaluate": {"fidelity": {"max_kl": float("inf")}}}, "evaluate.fidelity.max_kl"),
        ({"registry": {"name": "Upper Case"}}, "registry.name"),
        ({"spec_version": 2}, "spec_version"),
    ],
)
def test_a_wrong_key_or_value_is_named_by_its_full_path(change: dict[str, Any], named: str) -> None:
    """One usage error that says where."""
    with pytest.raises(UsageError) as caught:
        parse_spec({**example(), **change}, where="spec.yaml")
    assert named in str(caught.value)


API = {"name": "frontier", "url": "https://api.example.com/v1", "model": "big-1", "key_env": "API_KEY"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "source"}, "compare[0].name: 'source' is what reports call something else"),
        ({"name": "candidate"}, "compare[0].name"),
        ({"url": "ftp://api.example.com"}, "compare[0].url: must be https://"),
        ({"url": "api.example.com/v1"}, "compare[0].url: must be https://"),
        ({"url": "https://me:hunter22@api.example.com/v1"}, "compare[0].url: must be without a user"),
        ({"url": "https://api.example.com/v1?key=hunter22"}, "compare[0].url: must be without a user"),
        ({"url": "https://api.example.com:hunter22/v1"}, "compare[0].url: must be https://"),
        ({"key_env": "sk-hunter22"}, "compare[0].key_env: must be the name of a variable"),
        ({"key_env": "FRONTIER"}, "compare[0].key_env: must be the name of a variable that ends with KEY"),
        ({"key_secret": "frontier"}, "compare[0]: the key is in key_secret or in key_env, not in both"),
        ({"key": "hunter22"}, "compare[0].key: unknown key; did you mean 'key_"),
        ({"model": ""}, "compare[0].model"),
    ],
)
def test_an_api_to_compare_with_is_named_well(change: dict[str, str], said: str) -> None:
    """By its own name, at a plain address, with the key elsewhere; and what may be a key is not repeated."""
    value = example()
    value["evaluate"]["compare"] = [API | change]
    with pytest.raises(UsageError) as caught:
        parse_spec(value, where="spec.yaml")
    assert said in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_apis_have_names_of_their_own() -> None:
    """Two of one name would be one in a report."""
    value = example()
    value["evaluate"]["compare"] = [API, API | {"name": "other", "url": "http://127.0.0.1:8000/v1"}]
    assert [api.name for api in parse_spec(value, where="spec").evaluate.compare] == ["frontier", "other"]
    value["evaluate"]["compare"] = [API, API]
    with pytest.raises(UsageError, match="names are given twice: frontier"):
        parse_spec(value, where="spec")


def test_relative_paths_count_from_the_spec(tmp_path: Path) -> None:
    """Where the command is run does not matter."""
    value = example()
    value["evaluate"]["suite"] = "suites/mine.yaml"
    value["evaluate"]["reviews"] = "reviews.jsonl"
    value["serve"]["chat_template"] = "chat.jinja"
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(value))
    spec = load_spec(tmp_path / "spec.yaml")
    assert spec.evaluate.suite == str(tmp_path / "suites" / "mine.yaml")
    assert spec.evaluate.reviews == str(tmp_path / "reviews.jsonl")
    assert spec.serve.chat_template == str(tmp_path / "chat.jinja")
    assert spec.quantize.calibration == str(tmp_path / "quickstart" / "calibration.jsonl")


def test_paths_that_lead_nowhere_are_for_their_readers(tmp_path: Path) -> None:
    """Such as links in a circle."""
    (tmp_path / "loop").symlink_to("loop")
    value = example()
    value["model"]["uri"] = "./loop/model"
    value["evaluate"]["suite"] = "loop/mine.yaml"
    value["evaluate"]["reviews"] = "loop"
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(value))
    spec = load_spec(tmp_path / "spec.yaml")
    assert spec.evaluate.reviews == str(tmp_path / "loop")
    with pytest.raises(UsageError, match=r"mine\.yaml cannot be read.*symbolic links"):
        find_suite(spec.evaluate.suite)


def test_a_suite_name_stays_a_name() -> None:
    """Only paths are made absolute."""
    assert load_spec(EXAMPLE).evaluate.suite == "quickstart"


@pytest.mark.parametrize("text", ["", "- a list", "a: [", "a: !!python/name:os.system"])
def test_a_file_that_is_no_spec_is_a_usage_error(tmp_path: Path, text: str) -> None:
    """Broken YAML, no mapping, and tags that would run code."""
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(UsageError):
        load_spec(tmp_path / "spec.yaml")


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(UsageError, match="cannot be read"):
        load_spec(tmp_path / "absent.yaml")


def test_a_waiver_counts_from_the_day_of_the_scan() -> None:
    """A date in a file would end the example one day."""
    waiver = waiver_of(load_spec(EXAMPLE).scan)
    assert waiver is not None
    assert (waiver.until - waiver.since).days == 7


@given(st.dictionaries(st.text(max_size=12), st.none() | st.integers() | st.text(max_size=5), max_size=6))
def test_any_mapping_is_a_spec_or_a_usage_error(value: dict[str, Any]) -> None:
    """No input makes the parser raise anything else."""
    with contextlib.suppress(UsageError):
        parse_spec({**example(), **value}, where="spec")
