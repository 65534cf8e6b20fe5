from __future__ import annotations

from typing import Any

import pytest

from summexp.errors import ConfigError
from summexp.modeling.config import ModelConfig, PeftConfig


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"rank": 4}, ["peft.rank"]),
        ({"target_modules": ["q"], "use_dora": True}, ["peft.target_modules", "peft.use_dora"]),
    ],
)
def test_options_of_an_adapter_want_one(options: dict[str, Any], keys: list[str]) -> None:
    with pytest.raises(ConfigError, match="has no effect with peft=none") as caught:
        PeftConfig(**options)
    assert [problem.key for problem in caught.value.problems] == keys
    PeftConfig(name="lora", **options)


def test_numbers_that_no_adapter_has() -> None:
    with pytest.raises(ConfigError) as caught:
        PeftConfig(name="lora", rank=0, alpha=0.0, dropout=1.0)
    keys = [problem.key for problem in caught.value.problems]
    assert keys == ["peft.rank", "peft.alpha", "peft.dropout"]


def test_a_line_break_that_the_shell_left_as_it_was_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"model\.target_prefix: contains a backslash and an n"):
        ModelConfig(name_or_path="gpt2", target_prefix=r"\n요약:\n")
    assert ModelConfig(name_or_path="gpt2", target_prefix="\n요약:\n").target_prefix == "\n요약:\n"
