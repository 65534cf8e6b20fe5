from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from summexp.config.escaping import escaped, interpolates, override, unescaped


def texts(longest: int) -> list[str]:
    """Every text of up to `longest` of the characters that OmegaConf's grammar looks at."""
    return ["".join(one) for n in range(longest + 1) for one in product("\\${}a", repeat=n)]


def test_omegaconf_reads_an_escaped_text_as_it_was() -> None:
    everything = {str(n): text for n, text in enumerate(texts(5))}
    tree = OmegaConf.create(escaped(everything))
    assert {key: tree[key] for key in everything} == everything
    assert unescaped(OmegaConf.to_container(tree)) == everything


def test_only_what_is_not_escaped_interpolates() -> None:
    assert not any(interpolates(escaped(text)) for text in texts(5))
    assert [interpolates(text) for text in ("${a}", "b ${a", "\\${a}", "\\\\${a}", "$a {b}")] == [
        True, True, False, True, False
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value", ["\\${a}", "\\\\${a}", {"a": ["${b}", "\\${c}"], 1: None}, ["\\", "\\${"]]
)
def test_an_override_of_backslashes_before_an_interpolation(value: Any) -> None:
    read = OverridesParser.create().parse_override(override("model.architecture", value))
    tree = OmegaConf.create({"a": read.value()})
    assert OmegaConf.to_container(tree, resolve=True) == {"a": value}
