"""Every file of `conf/data`: its voice, its keys, and their types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from summexp.config.schema import SECTIONS
from summexp.data.config import DataConfig

FILES = sorted((Path(__file__).resolve().parents[2] / "conf" / "data").rglob("*.yaml"))
HUB = {
    "big_patent": ("description", "abstract"),
    "billsum": ("text", "summary"),
    "cnn_dailymail": ("article", "highlights"),
    "dialogsum": ("dialogue", "summary"),
    "multi_news": ("document", "summary"),
    "orange_sum": ("text", "summary"),
    "pn_summary": ("article", "summary"),
    "reddit_tifu": ("documents", "tldr"),
    "samsum": ("dialogue", "summary"),
    "thaisum": ("body", "summary"),
    "wiki_summary": ("article", "highlights"),
    "xlsum": ("text", "summary"),
    "xsum": ("document", "summary"),
}
"""Corpora of the Hub and their columns, as their dataset cards give them."""
OWN = {"custom_csv", "custom_json", "custom_parquet", "custom_hub"}


def each_file(test: Any) -> Any:
    return pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)(test)


def load(path: Path) -> DictConfig:
    choice = OmegaConf.load(path)
    assert isinstance(choice, DictConfig)
    return choice


def typed(path: Path) -> DataConfig:
    data = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DataConfig), load(path).data))
    assert isinstance(data, DataConfig)
    return data


def test_every_corpus_has_its_file() -> None:
    assert {path.stem for path in FILES} == set(HUB) | OWN | {"news_briefs"}


@each_file
def test_header_describes_what_the_file_is_and_how_to_use_it(path: Path) -> None:
    first, second, *rest = path.read_text(encoding="utf-8").splitlines()
    assert first == "# @package _global_"
    assert second.startswith("# ")
    assert "python train.py" not in second
    commands = [line for line in rest if line.startswith("# python train.py ")]
    assert any(f"data={path.stem}" in line.split() for line in commands)


@each_file
def test_values_fit_the_typed_schema(path: Path) -> None:
    choice = load(path)
    assert set(choice) <= {"data", "training", "generation"}
    for section, values in choice.items():
        OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(SECTIONS[str(section)]), values))


@each_file
def test_no_value_repeats_the_default(path: Path) -> None:
    defaults = DataConfig()
    assert [key for key, value in load(path).data.items() if getattr(defaults, key) == value] == []


@pytest.mark.parametrize("path", [path for path in FILES if path.stem in HUB], ids=lambda p: p.stem)
def test_hub_corpus_names_its_repository_and_columns(path: Path) -> None:
    data = typed(path)
    assert data.name is not None
    assert data.name.count("/") == 1
    assert (data.text_column, data.summary_column) == HUB[path.stem]
    assert len({data.train_split, data.validation_split, data.test_split}) == 3


@pytest.mark.parametrize("path", [path for path in FILES if path.stem in HUB], ids=lambda p: p.stem)
def test_parquet_copy_is_read_one_configuration_at_a_time(path: Path) -> None:
    """That branch has a folder for each configuration; without one, all are read as one corpus."""
    data = typed(path)
    assert data.revision in (None, "refs/convert/parquet")
    assert data.revision is None or data.config_name is not None


@pytest.mark.parametrize("path", [path for path in FILES if path.stem in OWN])
def test_own_data_presume_nothing(path: Path) -> None:
    assert load(path).data == {}
