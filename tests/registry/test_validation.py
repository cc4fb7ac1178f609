"""A wrong key is named by its full path, with what was probably meant."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from registry.errors import UsageError
from registry.validation import did_you_mean, explain, read_yaml


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Awq(Strict):
    engine: Literal["awq"]
    bits: int = 4


class Ready(Strict):
    engine: Literal["none"]


class Step(Strict):
    weight: int = Field(ge=0, le=100)
    after: Annotated[float | None, Field(gt=0)] = None


class Spec(Strict):
    name: str
    quantize: Annotated[Awq | Ready, Field(discriminator="engine")] = Ready(engine="none")
    serve: Step | None = None
    steps: tuple[Step, ...] = ()
    named: dict[str, Step] = Field(default_factory=dict)
    plain: Step | Awq | None = None
    few: tuple[Step, ...] = Field((Step(weight=1),), min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Spec:
        if self.name == "taken":
            raise ValueError("the name is taken")
        return self


def problem(**written: Any) -> str:
    """The error for a spec with these keys."""
    with pytest.raises(ValidationError) as caught:
        Spec.model_validate({"name": "x", **written})
    return str(explain(caught.value, Spec, "spec.yaml"))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"quantise": {}}, "quantise: unknown key; did you mean 'quantize'?"),
        ({"quantize": {"engine": "awq", "bitss": 4}}, "quantize.bitss: unknown key; did you mean 'bits'?"),
        ({"quantize": {"engine": "awq", "bits": "x"}}, "quantize.bits: input should be a valid integer"),
        ({"serve": {"weight": 1, "wieght": 2}}, "serve.wieght: unknown key; did you mean 'weight'?"),
        ({"serve": {"weight": 1, "zzz": 2}}, "serve.zzz: unknown key; known: after, weight"),
        ({"steps": [{"weight": 5}, {"weight": 500}]}, "steps[1].weight: input should be less than or equal"),
        ({"steps": [{"weigth": 5}]}, "steps[0].weigth: unknown key; did you mean 'weight'?"),
        ({"named": {"eu": {"weight": 5, "aftr": 1}}}, "named.eu.aftr: unknown key; did you mean 'after'?"),
        ({"plain": {"weight": 5, "aftr": 1}}, "plain.aftr: unknown key; did you mean 'after'?"),
        ({"quantize": {"engine": "none", "bits": 4}}, "quantize.bits: unknown key; known: engine"),
        ({"serve": {}}, "serve.weight: is required"),
        ({"steps": "mit"}, "steps: must be a list, not 'mit'"),
        ({"name": "taken"}, "spec.yaml is not valid: the name is taken."),
        ({"few": []}, "few: tuple should have at least 1 item"),
    ],
)
def test_each_problem_is_named_by_its_path(written: dict[str, Any], said: str) -> None:
    """Through nested models, unions, lists and mappings, without pydantic's own union labels."""
    assert said in problem(**written)


def test_several_problems_come_one_per_line_with_the_next_step() -> None:
    """All at once, so that the file is mended once."""
    lines = problem(nam="y", steps=[{"weight": -1}]).splitlines()
    assert lines[0] == "spec.yaml is not valid:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["steps[0].weight", "nam"]
    assert lines[-1].endswith("Next: mend the file and run the same command again.")


def test_a_list_is_not_called_too_short_for_what_is_wrong_in_it() -> None:
    """It has an item, and that is to be mended."""
    assert "is not valid: few[0].weight: input should be" in problem(few=[{"weight": 500}])


def test_a_literal_close_to_a_known_one_is_suggested() -> None:
    """Values have typos too."""

    class Kinds(Strict):
        kind: Literal["choices", "generate"]

    with pytest.raises(ValidationError) as caught:
        Kinds.model_validate({"kind": "choice"})
    said = str(explain(caught.value, Kinds, "suite.yaml"))
    assert "kind: must be 'choices' or 'generate', not 'choice'; did you mean 'choices'?" in said


def test_a_long_wrong_value_is_cut() -> None:
    """An error stays one paragraph."""
    assert len(problem(serve={"weight": "x" * 10_000})) < 300


def test_nothing_close_lists_what_is_known() -> None:
    """A suggestion far off would only mislead."""
    assert did_you_mean("zebra", ["bits", "group_size"]) == "known: bits, group_size"
    assert did_you_mean("bits", []) == "known: none"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !function utils.run\n", "line 1, column 4: the tag !function is not allowed"),
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", "line 2, column 4: the tag !!python"),
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' is given twice"),
        ("a: {b: 1, b: 2}\n", "the key 'b' is given twice"),
        ("a: [1\n", "is not plain YAML"),
        ("? [a]\n: 1\n", "is not plain YAML"),
        ("a: 1\n2: 3\n", "line 2, column 1: the key '2' is no text: put it into quotes"),
        ("on: 1\n", "the key 'on' is no text"),
        ("a: 1\nb: 2026-13-45\n", "line 2, column 4: '2026-13-45' is no value: month must be in 1..12"),
        ("a: 2026-01-01 99:99:99\n", "is no value: hour must be in 0..23"),
        ("a: 0x_\n", "'0x_' is no value"),
        (
            f"a: {'9' * 5000}\n",
            "999... is no value: Exceeds the limit",
        ),
        (f"a: {'1:' * 400}1.5\n", "is no value"),
        (f"a: {'[' * 5000}", "nested more than 64 levels deep"),
        (f"a: {'{b: ' * 5000}", "nested more than 64 levels deep"),
        ("".join(f"{' ' * n}a:\n" for n in range(500)), "nested more than 64 levels deep"),
        ("a: &a [*a]\n", "line 1, column 8: *a stands for nothing that ends before it"),
        ("&a\n<<: *a\nb: 1\n", "*a stands for nothing"),
        ('a: "x\\0.jsonl"\n', "line 1, column 4: it has the character U+0000"),
        ('a: {"\\ud800": 1}\n', "it has the character U+D800"),
        ("- a\n", "holds no keys"),
        ("", "holds no keys"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Code, repeated keys and broken files end in one sentence that names the line."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_yaml(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def aliases(form: str) -> str:
    """Ten values, each of this form over the one before it, which stands where ``_`` is."""
    lines = [f"x{n}: &x{n} {form.replace('_', f'*x{n - 1}')}\n" for n in range(1, 11)]
    return f"x0: &x0 a\n{''.join(lines)}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (aliases(f"[{', '.join('_' * 10)}]"), "it comes to more than 100000 values"),
        (aliases(f"{'[' * 8}_{']' * 8}"), "nested more than 64 levels deep"),
        (f"a: 1\n# {'x' * 2**20}\n", "has 1048584 bytes, and 1048576 are the most"),
    ],
)
def test_what_would_take_all_memory_is_refused_before_it_is_built(
    tmp_path: Path, text: str, said: str
) -> None:
    """Aliases of aliases, and files larger than anybody writes."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_yaml(path)


@given(st.text(alphabet=st.sampled_from("ab01:-? \n!&*<>[]{},'\"#|%@~\\\t\u2028é"), max_size=30))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Never a traceback, whatever was typed."""
    path = tmp_path_factory.mktemp("yaml") / "x.yaml"
    path.write_text(text, encoding="utf-8")
    with suppress(UsageError):
        assert isinstance(read_yaml(path), dict)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_bytes(b"a: \xff\n"), "not UTF-8 text: invalid start byte at byte 3"),
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (os.mkfifo, "it is a pipe or a device"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a pipe or a device"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_usage_error(
    tmp_path: Path, make: Callable[[Path], object], why: str
) -> None:
    """Absent, no file, or not text: at once, with what to do."""
    path = tmp_path / "x.yaml"
    make(path)
    with pytest.raises(UsageError, match=rf"x\.yaml.*{why}.*Next: "):
        read_yaml(path)


def test_plain_yaml_is_read_with_anchors_and_merges(tmp_path: Path) -> None:
    """What YAML offers for data stays usable."""
    path = tmp_path / "x.yaml"
    path.write_text("base: &b {x: 1}\nother: {<<: *b, y: 2}\n&k name: &n [a]\nagain: [*n, *n, *k]\n")
    assert read_yaml(path) == {
        "base": {"x": 1},
        "other": {"x": 1, "y": 2},
        "name": ["a"],
        "again": [["a"], ["a"], "name"],
    }
