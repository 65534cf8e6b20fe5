from __future__ import annotations

from typing import Any

import pytest

from summexp.data.config import DataConfig
from summexp.errors import ConfigError


def test_the_names_of_validation_sets_are_text() -> None:
    config = DataConfig(validation_files={"lead1": "a.csv", "검증": "b.csv", 2: 3})
    assert config.validation_files == {"lead1": "a.csv", "검증": "b.csv", "2": "3"}
    assert config.validation_prefixes == ["eval_lead1", "eval_검증", "eval_2"]
    assert DataConfig().validation_prefixes == ["eval"]


@pytest.mark.parametrize(
    ("files", "key", "words"),
    [
        ({"dev": {"v2": "a.csv"}}, "dev", "Set data.validation_files.dev_v2=a.csv"),
        ({"dev.v2": "a.csv"}, "dev.v2", "letters, digits, - and _ only"),
        ({"": "a.csv"}, "", "'' is not a valid set name"),
        ({"a/b": "a.csv"}, "a/b", "letters, digits, - and _ only"),
        ({"a b": "a.csv"}, "a b", "letters, digits, - and _ only"),
        ({True: "a.csv"}, "True", "True is not a valid set name"),
        ({"dev": None}, "dev", "has no file"),
        ({"dev": ""}, "dev", "has no file"),
        ({"dev": ["a.csv"]}, "dev", "must be the name of a file, not ['a.csv']"),
        ({"a": "a.csv", "a_lead3": "b.csv"}, "a_lead3", "the baseline of 'a'"),
    ],
)
def test_a_name_or_file_that_cannot_be_is_reported(
    files: dict[Any, Any], key: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        DataConfig(validation_files=files)
    (problem,) = caught.value.problems
    assert problem.key == f"data.validation_files.{key}"
    assert words in str(problem)


def test_a_set_may_be_called_after_a_baseline_that_nobody_has() -> None:
    DataConfig(validation_files={"a_lead3": "b.csv", "lead3": "c.csv"})
