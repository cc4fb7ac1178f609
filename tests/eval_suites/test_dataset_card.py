"""Which files of a dataset are fetched follows from its card; what a reader is given names no others."""

from __future__ import annotations

import pytest
import yaml

from eval_suites.dataset_card import card_of_one, files_of, head_of
from registry.errors import UsageError

CARD = """\
---
license: mit
configs:
- config_name: easy
  default: true
  data_files: easy/*
- config_name: hard
  data_files:
  - {split: train, path: [hard/train-*, more/train-*]}
  - {split: test, path: hard/test-*}
dataset_info:
- {config_name: easy, features: [{name: q, dtype: string}]}
- {config_name: hard, features: [{name: q, dtype: int64}]}
---
# Words
"""
PATHS = [
    *("README.md", "script.py", "easy/a.parquet", "hard/train-0.parquet", "hard/test-0.parquet"),
    *("more/train-1.parquet", "hard/notes-0.parquet"),
]


@pytest.mark.parametrize(
    ("config", "files"),
    [
        ("hard", ["hard/train-0.parquet", "hard/test-0.parquet", "more/train-1.parquet"]),
        ("easy", ["easy/a.parquet"]),
        (None, ["easy/a.parquet"]),
    ],
)
def test_only_the_files_of_the_configuration_are_wanted(config: str | None, files: list[str]) -> None:
    """A dataset can be a hundred times as large as one of its configurations."""
    assert files_of(head_of(CARD), config, PATHS, "org/data") == files


@pytest.mark.parametrize("card", ["", "# Words", "---\nlicense: [\n---\n", "---\n- a list\n---\n"])
def test_without_configurations_every_data_file_is_wanted(card: str) -> None:
    """And no code, whatever the card is."""
    assert files_of(head_of(card), None, PATHS, "org/data") == PATHS[2:]
    assert card_of_one(head_of(card), None, "org/data") == ""


def test_the_card_for_the_reader_names_one_configuration() -> None:
    """Else the reader would look for the files of the first one."""
    head = head_of(card_of_one(head_of(CARD), "hard", "org/data"))
    assert [config["config_name"] for config in head["configs"]] == ["hard"]
    assert [info["features"][0]["dtype"] for info in head["dataset_info"]] == ["int64"]
    assert head["configs"] == yaml.safe_load(CARD.split("---")[1])["configs"][1:]


def test_a_folder_may_stand_for_patterns() -> None:
    """``data_dir`` instead of ``data_files``."""
    head = {"configs": [{"config_name": "only", "data_dir": "hard"}]}
    assert files_of(head, None, PATHS, "org/data") == [path for path in PATHS if path.startswith("hard/")]


def test_a_configuration_that_is_not_there_is_told() -> None:
    """With those that are."""
    with pytest.raises(UsageError, match=r"no configuration medium\. it has easy, hard"):
        files_of(head_of(CARD), "medium", PATHS, "org/data")


def test_a_repository_with_a_script_and_no_files_is_told() -> None:
    """A script would be code; the hub keeps files beside it."""
    with pytest.raises(UsageError, match="refs/convert/parquet"):
        files_of({}, None, ["README.md", "data.py"], "org/data")
